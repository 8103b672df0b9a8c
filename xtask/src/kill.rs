//! The long kill test: the program is killed under load, and nothing it acknowledged may be lost.

use crate::report::Refusal;
use crate::repository::{Repository, run as run_program};

const ROUNDS_DEFAULT: u32 = 200;
const USAGE: &str = "usage: cargo xtask kill [--rounds N], N from 1 to 4294967295";

/// Runs the kill test of the crate cairn with many rounds; `check` runs the same test with few.
pub(crate) fn run(repository: &Repository, arguments: &[String]) -> Result<(), Refusal> {
    let rounds = rounds(arguments)?;
    let mut command =
        repository.cargo(&["test", "--package", "cairn", "--test", "kill", "--", "--nocapture"]);
    run_program(command.env("CAIRN_KILL_ROUNDS", rounds.to_string()), "the failed round is described above")
}

fn rounds(arguments: &[String]) -> Result<u32, Refusal> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        [] => Ok(ROUNDS_DEFAULT),
        ["--rounds", count] => match count.parse() {
            Ok(rounds) if rounds > 0 => Ok(rounds),
            _ => Err(Refusal::new(format!("`{count}` is not a number of rounds"), USAGE)),
        },
        _ => Err(Refusal::new(format!("`{}` is not understood", words.join(" ")), USAGE)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Option<u32> {
        rounds(&words.iter().map(ToString::to_string).collect::<Vec<_>>()).ok()
    }

    #[test]
    fn rounds_are_a_positive_number_and_have_a_default() {
        assert_eq!(parsed(&[]), Some(ROUNDS_DEFAULT));
        assert_eq!(parsed(&["--rounds", "7"]), Some(7));
        assert_eq!(parsed(&["--rounds", "0"]), None);
        assert_eq!(parsed(&["--rounds"]), None);
        assert_eq!(parsed(&["7"]), None);
    }
}
