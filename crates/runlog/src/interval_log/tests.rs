use super::*;

#[test]
fn intervals_survive_a_round_trip() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("arm.hlog");
    let mut histogram = new_histogram();
    for value in [1, 250, 9_000, 1_000_000, MAX_VALUE_NS] {
        histogram.record(value).unwrap();
    }
    let intervals = [Some("observed"), None].map(|tag| Interval {
        start: Duration::from_millis(1_700_000_000_500),
        duration: Duration::from_millis(40),
        tag: tag.map(str::to_owned),
        histogram: histogram.clone(),
    });
    let mut file = NewLog::create(&path).unwrap();
    let mut log = file.begin("arm baseline", intervals[0].start).unwrap();
    for interval in &intervals {
        log.push(interval).unwrap();
    }
    file.finish().unwrap();
    let back = read(&path).unwrap();
    assert_eq!(back.len(), 2);
    for (back, written) in back.iter().zip(&intervals) {
        assert_eq!(back.histogram, written.histogram);
        assert_eq!(back.tag, written.tag);
        assert_eq!(back.start, written.start);
        assert_eq!(back.duration, written.duration);
    }
    assert!(NewLog::create(&path).is_err(), "never replaces a file");
}

#[test]
fn other_text_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("arm.hlog");
    fs::write(&path, "start_time,response_time\n1,2\n").unwrap();
    assert!(read(&path).unwrap_err().to_string().contains("arm.hlog"));
    fs::write(&path, "0.0,1.0,2.0,not*base64\n").unwrap();
    assert!(read(&path).unwrap_err().to_string().contains("histogram"));
}

#[test]
fn buckets_are_at_most_one_128th_of_their_value_wide() {
    let histogram = new_histogram();
    for value in [128, 1_000, 123_456, 99_999_999, MAX_VALUE_NS] {
        let width = histogram.equivalent_range(value);
        assert!(
            width as f64 / value as f64 <= 1.0 / 128.0,
            "{value}: {width}"
        );
    }
}
