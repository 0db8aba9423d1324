use super::*;
use crate::interval_log::MAX_VALUE_NS;

#[test]
fn every_bucket_survives() {
    let mut histogram = new_histogram();
    for (value, times) in [(0, 3), (1, 1), (250, 1 << 40), (MAX_VALUE_NS, 2)] {
        histogram.record_n(value, times).unwrap();
    }
    let exact = Exact::of(&histogram, 77).unwrap();
    assert_eq!(exact.sum_ns, 77);
    assert_eq!(exact.read().unwrap(), histogram);
    assert_eq!(
        Exact::of(&new_histogram(), 0).unwrap().read().unwrap(),
        new_histogram()
    );
}

#[test]
fn a_usual_histogram_is_small() {
    let mut histogram = new_histogram();
    for value in (200..2_000).chain((2_000..200_000).step_by(100)) {
        histogram.record(value).unwrap();
    }
    let length = Exact::of(&histogram, 0).unwrap().histogram.len();
    assert!(length < 2_048, "{length}");
}

#[test]
fn other_texts_and_other_buckets_are_refused() {
    let exact = |histogram: &str| Exact {
        sum_ns: 0,
        histogram: histogram.to_owned(),
    };
    for text in ["", "HISTFAAA", "not base64!", "QUJDREVGR0g="] {
        assert_eq!(exact(text).read(), Err(NotOurs::Unreadable), "{text}");
    }
    let whole = Exact::of(&new_histogram(), 0).unwrap().histogram;
    let cut = &whole[..whole.len() / 8 * 4];
    assert_eq!(exact(cut).read(), Err(NotOurs::Unreadable));
    let microseconds = Histogram::new_with_bounds(1, 3_600_000_000, 3).unwrap();
    let error = Exact::of(&microseconds, 0).unwrap().read().unwrap_err();
    assert!(
        error.to_string().contains("3 digits up to 3600000000"),
        "{error}"
    );
}
