//! The capabilities that probing takes, from the one list of them. The manifests under `deploy/` are compared with it.

const LIST: &str = include_str!("../capabilities.txt");

/// A capability of the list, without `CAP_`.
#[derive(Clone, Copy, Debug)]
struct Listed {
    name: &'static str,
    /// Before Linux 6.6 only.
    is_for_old_kernels: bool,
}

fn listed() -> impl Iterator<Item = Listed> {
    LIST.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some(Listed {
                name: words.next()?,
                is_for_old_kernels: words.next()? == "before-6.6",
            })
        })
}

/// Those that a kernel of this release asks for, without `CAP_`.
pub fn needed(release: &str) -> impl Iterator<Item = &'static str> {
    let mut numbers = release.split('.').map(|number| number.parse::<u32>().ok());
    let version = numbers.next().flatten().zip(numbers.next().flatten());
    let is_old = version.is_some_and(|version| version < (6, 6));
    listed()
        .filter(move |listed| is_old || !listed.is_for_old_kernels)
        .map(|listed| listed.name)
}

/// Them in a sentence.
pub fn in_words() -> String {
    let (old_kernels, always): (Vec<_>, Vec<_>) =
        listed().partition(|listed| listed.is_for_old_kernels);
    let named = |capabilities: Vec<Listed>| {
        let names = capabilities
            .iter()
            .map(|listed| format!("CAP_{}", listed.name));
        names.collect::<Vec<_>>().join(", ")
    };
    format!(
        "{} and, before Linux 6.6, {}",
        named(always),
        named(old_kernels)
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn all_are_named() {
        assert_eq!(
            super::in_words(),
            "CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH, CAP_CHECKPOINT_RESTORE and, before \
             Linux 6.6, CAP_SYS_ADMIN"
        );
    }

    #[test]
    fn old_kernels_ask_for_more() {
        let asks = |release| super::needed(release).any(|name| name == "SYS_ADMIN");
        assert!(asks("5.10.0-46-cloud-amd64") && asks("6.1.0"));
        assert!(!asks("6.6.0") && !asks("6.18.44") && !asks("7.3.4"));
    }
}
