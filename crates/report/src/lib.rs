//! What a run says, for people: a page, plots, tables, and a trace of its slowest requests.
//!
//! A [`Run`](run::Run) is what was read of a folder. [`page`] makes the HTML file of one run or of several; [`chart`]
//! draws; [`export`] has the other formats. Every figure on the page comes from a file of the run and says where it
//! stands there (`data-figure="analysis.json#/macro/difference/estimate"`).

pub mod chart;
pub mod data;
pub mod export;
pub mod format;
pub mod page;
pub mod run;
mod scale;
mod section;
