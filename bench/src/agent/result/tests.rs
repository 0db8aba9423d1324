use std::time::Duration;

use super::*;

fn scrapes() -> Scrapes {
    let scrape = |(took_ms, bytes)| Scrape {
        took: Duration::from_millis(took_ms),
        bytes,
    };
    Scrapes::of(&[(40, 9), (10, 8), (200, 7)].map(scrape)).unwrap()
}

fn measured() -> Measured {
    Measured {
        asked_reads_per_s: 1_000,
        reads_per_s: 1_000.0,
        reads: 2_000,
        reads_in_histograms: 2_000,
        ledgers_balance: true,
        agent: Use {
            cpu_share: 0.03,
            resident_bytes: 20 << 20,
            histogram_bytes: 100 << 20,
        },
        scrape: scrapes(),
        ..Measured::default()
    }
}

#[test]
fn each_target_can_be_missed() {
    type Spoil = fn(&mut Measured);
    assert!(measured().judged().all_reached());
    let spoils: [Spoil; 6] = [
        |measured| measured.reads_per_s = 900.0,
        |measured| measured.reads_in_histograms -= 1,
        |measured| measured.ledgers_balance = false,
        |measured| measured.agent.cpu_share = 0.06,
        |measured| measured.agent.histogram_bytes = 140 << 20,
        |measured| measured.scrape.median_ms = 60.0,
    ];
    for (number, spoil) in spoils.into_iter().enumerate() {
        let mut measured = measured();
        spoil(&mut measured);
        assert!(!measured.judged().all_reached(), "{number}");
    }
}

#[test]
fn scrapes_are_sorted() {
    let scrape = serde_json::json!(scrapes());
    assert_eq!(
        [&scrape["min_ms"], &scrape["median_ms"], &scrape["max_ms"]],
        [10.0, 40.0, 200.0]
    );
    assert_eq!(scrape["bytes"], 9);
    assert!(Scrapes::of(&[]).is_none());
}
