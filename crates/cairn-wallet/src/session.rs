//! An open keystore that locks itself: it is open until a time, and wiped after it.

use crate::keystore::Unlocked;
use cairn_core::numbers::Timestamp;

/// How long a keystore stays open unless its owner says otherwise, in milliseconds: 5 minutes.
pub const UNLOCK_MS_DEFAULT: u64 = 5 * 60 * 1000;
/// The longest time that a keystore stays open, in milliseconds: 15 minutes.
pub const UNLOCK_MS_MAX: u64 = 15 * 60 * 1000;

/// A keystore that is open for a while. The time comes from its user.
#[derive(Debug)]
pub struct Session {
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    unlocked: Unlocked,
    since: Timestamp,
    until: Timestamp,
}

/// The keystore is locked: nobody gave the password yet, or the time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the wallet is locked")]
pub struct Locked;

/// Nobody leaves a keystore open for so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a wallet is unlocked for 1 to {UNLOCK_MS_MAX} milliseconds, not for {found}")]
pub struct UnlockTimeError {
    /// The time asked for, in milliseconds.
    pub found: u64,
}

impl Session {
    /// A locked session.
    pub const fn locked() -> Self {
        Self { open: None }
    }

    /// Keeps `unlocked` open for `open_ms` milliseconds from `now`.
    ///
    /// # Errors
    ///
    /// [`UnlockTimeError`] for no time, and for more than [`UNLOCK_MS_MAX`].
    pub fn unlock(
        &mut self,
        unlocked: Unlocked,
        now: Timestamp,
        open_ms: u64,
    ) -> Result<(), UnlockTimeError> {
        if open_ms == 0 || open_ms > UNLOCK_MS_MAX {
            return Err(UnlockTimeError { found: open_ms });
        }
        self.open = Some(Open { unlocked, since: now, until: now.saturating_add_ms(open_ms) });
        Ok(())
    }

    /// The open keystore.
    ///
    /// # Errors
    ///
    /// [`Locked`]; where the time is over, the secrets are wiped before the answer.
    pub fn unlocked(&mut self, now: Timestamp) -> Result<&mut Unlocked, Locked> {
        self.lock_if_due(now);
        self.open.as_mut().map(|open| &mut open.unlocked).ok_or(Locked)
    }

    /// How many milliseconds are left; 0 if locked.
    pub fn left_ms(&mut self, now: Timestamp) -> u64 {
        self.lock_if_due(now);
        self.open.as_ref().map_or(0, |open| open.until.saturating_ms_since(now))
    }

    /// Wipes the secrets if the time is over, or if the clock went back to before the unlocking:
    /// nobody knows how long it has been open then.
    pub fn lock_if_due(&mut self, now: Timestamp) {
        if self.open.as_ref().is_some_and(|open| now >= open.until || now < open.since) {
            self.lock();
        }
    }

    /// Wipes the secrets now.
    pub fn lock(&mut self) {
        self.open = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealed::PasswordCost;
    use crate::secret::Password;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn session(open_ms: u64) -> Session {
        let password = Password::new("password").unwrap();
        let unlocked = Unlocked::without_words(&password, PasswordCost::new(8, 1, 1).unwrap()).unwrap();
        let mut session = Session::locked();
        session.unlock(unlocked, NOW, open_ms).unwrap();
        session
    }

    fn after(ms: u64) -> Timestamp {
        NOW.saturating_add_ms(ms)
    }

    #[test]
    fn a_session_is_open_until_its_time_and_not_longer() {
        let mut session = session(1000);
        assert!(session.unlocked(NOW).is_ok());
        assert_eq!(session.left_ms(after(999)), 1);
        assert!(session.unlocked(after(999)).is_ok());
        assert_eq!(session.unlocked(after(1000)).unwrap_err(), Locked);
        // Once locked, no clock opens it again.
        assert_eq!(session.unlocked(NOW).unwrap_err(), Locked);
        assert_eq!(session.left_ms(NOW), 0);
    }

    #[test]
    fn a_clock_that_goes_back_locks() {
        let mut session = session(1000);
        assert_eq!(session.unlocked(Timestamp(NOW.0 - 1)).unwrap_err(), Locked);
    }

    #[test]
    fn locking_at_once_is_possible() {
        let mut session = session(1000);
        session.lock();
        assert_eq!(session.unlocked(NOW).unwrap_err(), Locked);
    }

    #[test]
    fn nothing_stays_open_for_ever() {
        let password = Password::new("password").unwrap();
        for found in [0, UNLOCK_MS_MAX + 1, u64::MAX] {
            let unlocked = Unlocked::without_words(&password, PasswordCost::new(8, 1, 1).unwrap()).unwrap();
            let refused = Session::locked().unlock(unlocked, NOW, found);
            assert_eq!(refused, Err(UnlockTimeError { found }));
        }
    }
}
