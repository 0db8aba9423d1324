//! How the figures came about, and how to get them again.

use maud::{Markup, html};
use runlog::manifest::Manifest;

/// A method with where it is from.
struct Method {
    what: &'static str,
    how: &'static str,
    source: &'static str,
}

const METHODS: &[Method] = &[
    Method {
        what: "The experiment",
        how: "an HTTP server with and without a hook on read that looks for 200 words",
        source: "M. Kahlhofer, P. Kern, S. Henning, S. Rass: Benchmarking Function Hook Latency in Cloud-Native \
                 Environments. SSP 2023",
    },
    Method {
        what: "Order of blocks",
        how: "rmit: in each round every arm has one block, in an order drawn anew; duet: two arms at once",
        source: "A. Abedi, T. Brecht: Conducting Repeatable Experiments in Highly Variable Cloud Computing Environments. \
                 ICPE 2017; L. Bulej et al.: Duet Benchmarking. ICPE 2020",
    },
    Method {
        what: "Means and their intervals",
        how: "response times split at one threshold into body and tail; Student's t over processes (trial), or the trimmed \
              mean and Yuen's t over pairs of servers, each the median of its rounds (rmit)",
        source: "Student: The Probable Error of a Mean. Biometrika 6, 1908; K. Yuen: The Two-Sample Trimmed t for Unequal \
                 Population Variances. Biometrika 61, 1974; on levels of repetition T. Kalibera, R. Jones: Rigorous \
                 Benchmarking in Reasonable Time. ISMM 2013",
    },
    Method {
        what: "Means of calls over time",
        how: "variance at low frequencies, by cosine transforms, and of servers that differ",
        source: "E. Lazarus, D. Lewis, J. Stock, M. Watson: HAR Inference: Recommendations for Practice. Journal of Business \
                 & Economic Statistics 36, 2018",
    },
    Method {
        what: "Whether layers agree",
        how: "equivalence: the whole interval lies within a margin",
        source: "D. Schuirmann: A Comparison of the Two One-Sided Tests Procedure and the Power Approach. Journal of \
                 Pharmacokinetics and Biopharmaceutics 15, 1987",
    },
    Method {
        what: "Shifts of quantiles, Cliff's delta",
        how: "bootstrap of whole blocks, ends of intervals expanded",
        source: "T. Hesterberg: What Teachers Should Know About the Bootstrap. The American Statistician 69, 2015; \
                 N. Cliff: Dominance Statistics. Psychological Bulletin 114, 1993",
    },
    Method {
        what: "Share that is explained",
        how: "ratio of means with Fieller's interval",
        source: "E. Fieller: Some Problems in Interval Estimation. JRSS B 16, 1954",
    },
    Method {
        what: "Several comparisons",
        how: "p adjusted by Holm's method",
        source: "S. Holm: A Simple Sequentially Rejective Multiple Test Procedure. Scandinavian Journal of Statistics 6, 1979",
    },
    Method {
        what: "Whether slow requests have slow hooks",
        how: "Spearman's rank correlation within blocks",
        source: "C. Spearman: The Proof and Measurement of Association between Two Things. American Journal of Psychology 15, 1904",
    },
    Method {
        what: "End of the warm-up",
        how: "last change of level of ranks, against random orders",
        source: "J. Antoch, M. Hušková: Permutation Tests in Change Point Analysis. Statistics & Probability Letters 53, 2001",
    },
    Method {
        what: "Percentiles",
        how: "HDR histograms with two digits: buckets at most 0.8 % wide",
        source: "G. Tene: HdrHistogram, hdrhistogram.org",
    },
    Method {
        what: "Box plots",
        how: "quartiles, whiskers within 1.5 times their distance",
        source: "J. Tukey: Exploratory Data Analysis. Addison-Wesley 1977",
    },
];

/// Methods with sources.
pub fn body(trim_each_end: Option<f64>) -> Markup {
    html! {
        p {
            "The estimand, the method and the number of blocks of each estimate are in the tables under the plots."
            @if let Some(trim) = trim_each_end {
                " Means of the budget, and of calls in the micro layer, leave out "
                (crate::format::figure("analysis.json#/trim_each_end", trim, &crate::format::decimal(trim, 2)))
                " of the sorted values at each end."
            }
        }
        dl class="methods" {
            @for method in METHODS {
                dt { (method.what) }
                dd { (method.how) ". " span class="source" { (method.source) "." } }
            }
        }
    }
}

/// The command to repeat a run.
pub fn repeat(manifest: &Manifest) -> Markup {
    html! {
        p { "With the seed of this run, blocks follow each other in the same order." }
        pre { code { (command(manifest)) } }
    }
}

/// The command line, with the seed, and without the folder that has this run in it.
fn command(manifest: &Manifest) -> String {
    let mut words = Vec::new();
    let mut given = manifest.command.iter();
    let mut server = Vec::new();
    while let Some(word) = given.next() {
        match word.as_str() {
            "--" => {
                server = vec![word.clone()];
                server.extend(given.by_ref().cloned());
            }
            "--out" => drop(given.next()),
            other if other.starts_with("--out=") => {}
            _ => words.push(word.clone()),
        }
    }
    let has_seed = words
        .iter()
        .any(|word| word == "--seed" || word.starts_with("--seed="));
    if !has_seed {
        words.extend(["--seed".to_owned(), manifest.schedule.seed.to_string()]);
    }
    words.extend(server);
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    words.join(" ")
}

/// A word as a shell takes it. A NUL cannot be in a command line.
fn quoted(word: &str) -> String {
    shlex::try_quote(word).map_or_else(|_| word.to_owned(), std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repeated(words: &[&str]) -> String {
        let manifest = Manifest {
            command: words.iter().map(ToString::to_string).collect(),
            ..crate::run::tests::manifest()
        };
        command(&manifest)
    }

    #[test]
    fn the_command_has_the_seed_and_a_folder_of_its_own() {
        assert_eq!(
            repeated(&["probe-user", "bench", "--out", "runs/a b", "--blocks", "8"]),
            "probe-user bench --blocks 8 --seed 7"
        );
        assert_eq!(
            repeated(&["probe-user", "bench", "--out=x", "--seed", "3"]),
            "probe-user bench --seed 3"
        );
    }

    #[test]
    fn the_servers_words_stay_behind_and_are_quoted() {
        assert_eq!(
            repeated(&[
                "probe-user",
                "bench",
                "--",
                "java",
                "My Server.java",
                "{port}",
                "--out",
                "x"
            ]),
            "probe-user bench --seed 7 -- java 'My Server.java' '{port}' --out x"
        );
    }
}
