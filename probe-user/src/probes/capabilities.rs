//! The capabilities that probing takes, from the one list of them. The manifests under `deploy/` are compared with it.

const LIST: &str = include_str!("../../capabilities.txt");

/// Them in a sentence.
pub fn in_words() -> String {
    let (old_kernels, always): (Vec<_>, Vec<_>) = LIST
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?, words.next()?))
        })
        .partition(|(_, kernels)| *kernels == "before-6.6");
    let named = |capabilities: Vec<(&str, &str)>| {
        let names = capabilities.iter().map(|(name, _)| format!("CAP_{name}"));
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
}
