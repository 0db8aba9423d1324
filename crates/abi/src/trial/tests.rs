use super::calls::{Call, begun, complete};
use super::{Arm, Problem, Trial};

extern crate std;
use std::collections::{HashMap, HashSet};
use std::string::ToString as _;
use std::vec::Vec;

const ARMS: [Arm; 4] = [
    Arm::Off,
    Arm::Null,
    Arm::On,
    Arm::Spiked { delay_ns: 1_000 },
];

fn trial(seed: u64) -> Trial {
    Trial::new(seed, 256, 1, &ARMS).unwrap()
}

#[test]
fn a_trial_is_read_back_from_its_text() {
    for trial in [trial(1), Trial::new(u64::MAX, 64, 64, &ARMS[..3]).unwrap()] {
        let text = trial.to_string();
        assert_eq!(Trial::parse(text.as_bytes()), Ok(trial), "{text}");
    }
    for text in [
        "seed=1 size=256 slice=20000000 arms=off,on",
        "seed=1 slice=1000000 arms=off,on+5,on",
    ] {
        assert_eq!(Trial::parse(text.as_bytes()).unwrap().to_string(), text);
    }
    let parsed = Trial::parse(b"arms=on,off  size=100 seed=0").unwrap();
    assert_eq!((parsed.run, parsed.arms()), (1, &[Arm::On, Arm::Off][..]));
}

#[test]
fn a_text_that_is_no_trial_is_refused_for_what_is_wrong() {
    for (text, problem) in [
        ("", Problem::Seed),
        ("seed=-1 size=256 arms=off,on", Problem::Seed),
        ("seed=01 size=256 arms=off,on", Problem::Seed),
        ("seed=1 seed=1 size=256 arms=off,on", Problem::Word),
        ("seed=1 size=256 arms=off,on extra", Problem::Word),
        ("seed=1 size=63 arms=off,on", Problem::Size),
        ("seed=1 size=4294967552 arms=off,on", Problem::Size),
        ("seed=1 size=256 run=0 arms=off,on", Problem::Run),
        (
            "seed=1 size=256 run=2 slice=1000000 arms=off,on",
            Problem::Run,
        ),
        ("seed=1 size=256 slice=999999 arms=off,on", Problem::Slice),
        ("seed=1 size=256 slice=1e9 arms=off,on", Problem::Slice),
        ("seed=1 size=63 slice=1000000 arms=off,on", Problem::Size),
        ("seed=1 arms=off,on", Problem::Size),
        ("seed=1 size=256", Problem::Arms),
        ("seed=1 size=256 arms=off,on,", Problem::Arms),
        ("seed=1 size=256 arms=off,on,on", Problem::Arms),
        ("seed=1 size=256 arms=off,on,on+0", Problem::Arms),
        ("seed=1 size=256 arms=off,on,on+1000000001", Problem::Arms),
        ("seed=1 size=256 arms=off,null", Problem::Incomplete),
        ("seed=1 size=256 arms=on", Problem::Incomplete),
    ] {
        assert_eq!(Trial::parse(text.as_bytes()), Err(problem), "{text}");
    }
    let many: Vec<Arm> = (1..=17).map(|delay_ns| Arm::Spiked { delay_ns }).collect();
    assert_eq!(Trial::new(1, 256, 1, &many), Err(Problem::Arms));
}

/// By a chi-squared statistic: its 99.9 % quantile for 15 degrees of freedom is 37.7.
#[test]
fn arms_are_drawn_evenly_and_independently_of_the_arm_before() {
    for seed in [0, 1, 2, u64::MAX] {
        let trial = trial(seed);
        let mut pairs = HashMap::new();
        let (connections, requests) = (40_u32, 2_000_u64);
        for connection in 0..connections {
            let salt = trial.salt(connection);
            for ordinal in 1..requests {
                let pair =
                    [ordinal, ordinal + 1].map(|ordinal| trial.arm_of(salt, ordinal).unwrap());
                *pairs.entry(pair).or_insert(0_u32) += 1;
            }
        }
        let expected = f64::from(connections) * (requests - 1) as f64 / 16.0;
        assert_eq!(pairs.len(), 16);
        let chi_squared: f64 = pairs
            .values()
            .map(|count| (f64::from(*count) - expected).powi(2) / expected)
            .sum();
        assert!(chi_squared < 37.7, "seed {seed}: {chi_squared}");
    }
}

#[test]
fn connections_and_seeds_draw_apart() {
    let draws = |trial: Trial, connection| -> Vec<usize> {
        let salt = trial.salt(connection);
        (1..65)
            .map(|ordinal| trial.arm_of(salt, ordinal).unwrap())
            .collect()
    };
    let all: HashSet<Vec<usize>> = (0..100)
        .flat_map(|n| {
            [
                draws(trial(n), 0),
                draws(trial(7), u32::try_from(n).unwrap() + 1),
            ]
        })
        .collect();
    assert_eq!(all.len(), 200);
    let salts: HashSet<u64> = (0..100_000)
        .map(|connection| trial(7).salt(connection))
        .collect();
    assert_eq!((salts.len(), salts.contains(&0)), (100_000, false));
}

#[test]
fn the_first_request_is_of_no_arm_and_runs_are_drawn_together() {
    let trial = Trial::new(3, 256, 8, &ARMS).unwrap();
    let salt = trial.salt(0);
    assert_eq!(trial.arm_of(salt, 0), None);
    let arms: Vec<usize> = (1..801)
        .map(|ordinal| trial.arm_of(salt, ordinal).unwrap())
        .collect();
    assert!(
        arms.chunks(8)
            .all(|run| run.iter().all(|arm| *arm == run[0]))
    );
    assert_eq!(arms.iter().collect::<HashSet<_>>().len(), 4);
}

#[test]
fn a_record_is_taken_whole_or_not_at_all() {
    let call = Call {
        salt: 0x0123_4567_89ab_cdef,
        ordinal: 7,
        arm: 2,
        function: 4,
        flags: Call::REACHED_BACK | Call::FRESH,
        enter_ns: 1 << 40,
        back_exit_ns: (1 << 40) + 500,
        to_back_ns: 90,
        from_back_ns: u32::MAX,
        waited_ns: 1_040,
        returned: 256,
    };
    let slot = call.encode(9);
    assert_eq!(slot.decode(9), Some(call));
    assert_eq!((slot.decode(8), slot.decode(9 + (1 << 15))), (None, None));
    let mut broken = slot;
    broken.sequence = begun(9);
    assert_eq!(broken.decode(9), None);
    for word in 0..slot.words.len() {
        for bit in 0..64 {
            let mut broken = slot;
            broken.words[word] ^= 1 << bit;
            assert_eq!(broken.decode(9), None, "word {word}, bit {bit}");
        }
    }
    // A record of an earlier turn under the sequence of a later one.
    let mut stale = call.encode(9);
    stale.sequence = complete(9 + (1 << 15));
    assert_eq!(stale.decode(9 + (1 << 15)), None);
}
