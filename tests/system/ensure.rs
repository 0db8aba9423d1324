//! `ensure!` as anyhow has it, but what it says when it fails names file and line, the part of a conjunction that does not
//! hold, and both values of a comparison, with or without a message.

use std::fmt::Debug;
use std::panic::Location;

use anyhow::anyhow;

/// How much of a value is shown.
const SHOWN: usize = 4_000;

/// The error of a condition that does not hold, at the place of the call.
#[track_caller]
pub fn failed(condition: &str, message: Option<String>) -> anyhow::Error {
    let place = Location::caller();
    let message = message.map_or_else(String::new, |message| format!("{message}\n"));
    anyhow!(
        "{}:{}: {message}failed: {condition}",
        place.file(),
        place.line()
    )
}

/// The error of a comparison that does not hold, at the place of the call.
#[track_caller]
pub fn differ<L: Debug + ?Sized, R: Debug + ?Sized>(
    condition: &str,
    left: &L,
    right: &R,
    message: Option<String>,
) -> anyhow::Error {
    let (left, right) = (shown(left), shown(right));
    failed(
        &format!("{condition}\n  left: {left}\n right: {right}"),
        message,
    )
}

fn shown<T: Debug + ?Sized>(value: &T) -> String {
    let mut text = format!("{value:?}");
    if let Some((end, _)) = text.char_indices().nth(SHOWN) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Returns an error from the function unless the condition holds: `ensure!(a == b && c, "message {}", d)`.
macro_rules! ensure {
    ($($all:tt)+) => {
        ensure_parts!(@left { $($all)+ } [] [] $($all)+)
    };
}

/// Takes a condition apart, token by token: `@left { all } [parts before] [left side] rest`, and behind an operator
/// `@right { all } [parts before] [left side] operator [right side] rest`.
macro_rules! ensure_parts {
    // With an alternative in it, it is looked at as a whole.
    (@left $all:tt $parts:tt [$($l:tt)+] || $($rest:tt)+) => { ensure_whole! $all };
    (@right $all:tt $parts:tt $l:tt $op:tt [$($r:tt)+] || $($rest:tt)+) => { ensure_whole! $all };
    // The brackets of `::<Type>` compare nothing.
    (@left $all:tt $parts:tt [$($l:tt)*] ::<$($type:ty),+> $($rest:tt)*) => {
        ensure_parts!(@left $all $parts [$($l)* ::<$($type),+>] $($rest)*)
    };
    (@right $all:tt $parts:tt $l:tt $op:tt [$($r:tt)*] ::<$($type:ty),+> $($rest:tt)*) => {
        ensure_parts!(@right $all $parts $l $op [$($r)* ::<$($type),+>] $($rest)*)
    };
    // The next part of a conjunction.
    (@left $all:tt [$($parts:tt)*] [$($l:tt)+] && $($rest:tt)+) => {
        ensure_parts!(@left $all [$($parts)* { @is $($l)+ }] [] $($rest)+)
    };
    (@right $all:tt [$($parts:tt)*] $l:tt $op:tt [$($r:tt)+] && $($rest:tt)+) => {
        ensure_parts!(@left $all [$($parts)* { $l $op [$($r)+] }] [] $($rest)+)
    };
    // The message, or the end.
    (@left $all:tt [$($parts:tt)*] [$($l:tt)+] $(, $($message:tt)*)?) => {
        ensure_each!(($($($message)*)?) $($parts)* { @is $($l)+ })
    };
    (@right $all:tt [$($parts:tt)*] $l:tt $op:tt [$($r:tt)+] $(, $($message:tt)*)?) => {
        ensure_each!(($($($message)*)?) $($parts)* { $l $op [$($r)+] })
    };
    // An operator.
    (@left $all:tt [$($parts:tt)*] [$($l:tt)+] == $($rest:tt)+) => {
        ensure_parts!(@right $all [$($parts)*] [$($l)+] == [] $($rest)+)
    };
    (@left $all:tt [$($parts:tt)*] [$($l:tt)+] != $($rest:tt)+) => {
        ensure_parts!(@right $all [$($parts)*] [$($l)+] != [] $($rest)+)
    };
    (@left $all:tt [$($parts:tt)*] [$($l:tt)+] <= $($rest:tt)+) => {
        ensure_parts!(@right $all [$($parts)*] [$($l)+] <= [] $($rest)+)
    };
    (@left $all:tt [$($parts:tt)*] [$($l:tt)+] >= $($rest:tt)+) => {
        ensure_parts!(@right $all [$($parts)*] [$($l)+] >= [] $($rest)+)
    };
    (@left $all:tt [$($parts:tt)*] [$($l:tt)+] < $($rest:tt)+) => {
        ensure_parts!(@right $all [$($parts)*] [$($l)+] < [] $($rest)+)
    };
    (@left $all:tt [$($parts:tt)*] [$($l:tt)+] > $($rest:tt)+) => {
        ensure_parts!(@right $all [$($parts)*] [$($l)+] > [] $($rest)+)
    };
    // Any other token.
    (@left $all:tt $parts:tt [$($l:tt)*] $next:tt $($rest:tt)*) => {
        ensure_parts!(@left $all $parts [$($l)* $next] $($rest)*)
    };
    (@right $all:tt $parts:tt $l:tt $op:tt [$($r:tt)*] $next:tt $($rest:tt)*) => {
        ensure_parts!(@right $all $parts $l $op [$($r)* $next] $($rest)*)
    };
}

macro_rules! ensure_whole {
    ($condition:expr $(, $($message:tt)*)?) => {
        ensure_each!(($($($message)*)?) { @is $condition })
    };
}

macro_rules! ensure_each {
    ($message:tt $($part:tt)+) => {{
        $(ensure_part!($message $part);)+
    }};
}

macro_rules! ensure_part {
    ($message:tt { @is $condition:expr }) => {
        if !$condition {
            return Err(crate::ensure::failed(stringify!($condition), ensure_message! $message));
        }
    };
    ($message:tt { [$left:expr] $op:tt [$right:expr] }) => {
        match (&$left, &$right) {
            (left, right) => {
                let holds = *left $op *right;
                if !holds {
                    return Err(crate::ensure::differ(
                        stringify!($left $op $right),
                        left,
                        right,
                        ensure_message! $message,
                    ));
                }
            }
        }
    };
}

macro_rules! ensure_message {
    () => { None };
    ($($message:tt)+) => { Some(format!($($message)+)) };
}
