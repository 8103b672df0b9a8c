//! The memory of a process that used a wallet and locked it holds none of its secrets.
//!
//! The whole writable memory of the process is read through `/proc/self/mem`: heap, stacks, and
//! what was given back to the allocator. The secrets are known to the test only under a mask, so
//! that it does not find itself.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test stops where something is missing")]

use cairn_core::hash::BlockId;
use cairn_core::numbers::{Amount, FeeRate, Height, Nonce, Timestamp};
use cairn_core::transaction::{TRANSACTION_VERSION, TransactionBody, Transfer};
use cairn_wallet::{
    Book, KeySeed, Keystore, Mnemonic, Password, PasswordCost, Session, Unlocked, Wallet, read_backup,
    sign_message, write_backup,
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha512;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{Read as _, Seek as _, SeekFrom};
use zeroize::Zeroizing;

/// What a secret is masked with.
const MASK: u8 = 0xa5;
/// How many bytes of a secret are searched for: a part of it is as bad as all. An allocator writes
/// over the beginning of what it gets back, so the end is searched for too.
const PART: usize = 16;

/// A secret that the test looks for, under the mask.
struct Sought {
    what: &'static str,
    parts: [Vec<u8>; 2],
}

impl Sought {
    /// Remembers the beginning and the end of `secret`.
    fn new(what: &'static str, secret: &[u8]) -> Self {
        let masked = |part: &[u8]| part.iter().map(|byte| byte ^ MASK).collect();
        let length = secret.len().min(PART);
        Self { what, parts: [masked(&secret[..length]), masked(&secret[secret.len() - length..])] }
    }

    fn is_in(&self, memory: &[u8]) -> bool {
        self.parts.iter().any(|part| {
            let first = part[0] ^ MASK;
            memory
                .windows(part.len())
                .filter(|window| window[0] == first)
                .any(|window| window.iter().zip(part).all(|(byte, masked)| *byte == *masked ^ MASK))
        })
    }
}

/// Does `work` of the test in a thread of its own and overwrites the stack of that thread, so that
/// what the test knows and what the wallet leaves are not taken for each other.
fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let outcome = in_its_frame(work);
            clean_frames();
            outcome
        });
        thread.join().unwrap()
    })
}

#[inline(never)]
fn in_its_frame<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[inline(never)]
fn clean_frames() {
    let mut room = [0u8; 128 * 1024];
    black_box(&mut room);
}

/// Which of the secrets lie in writable memory of this process.
#[inline(never)]
fn found(sought: &[Sought]) -> Vec<&'static str> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let mut memory = File::open("/proc/self/mem").unwrap();
    let mut found = Vec::new();
    let mut chunk = vec![0u8; 1 << 20];
    for line in maps.lines() {
        let mut fields = line.split_whitespace();
        let (range, rights) = (fields.next().unwrap(), fields.next().unwrap());
        if !rights.starts_with("rw") {
            continue;
        }
        let (start, end) = range.split_once('-').unwrap();
        let mut at = u64::from_str_radix(start, 16).unwrap();
        let end = u64::from_str_radix(end, 16).unwrap();
        while at < end {
            let length = usize::try_from(end - at).unwrap().min(chunk.len());
            // The chunk is filled by the kernel from places that may include the chunk itself: what
            // it held before was searched before.
            memory.seek(SeekFrom::Start(at)).unwrap();
            if memory.read_exact(&mut chunk[..length]).is_ok() {
                for secret in sought {
                    if !found.contains(&secret.what) && secret.is_in(&chunk[..length]) {
                        found.push(secret.what);
                    }
                }
            }
            chunk[..length].fill(0);
            // Parts that lie across two chunks are seen whole in one of them.
            at += (length.saturating_sub(PART)).max(1) as u64;
            if length < 1 << 20 {
                break;
            }
        }
    }
    found
}

fn cheap() -> PasswordCost {
    PasswordCost::new(8, 1, 1).unwrap()
}

/// A wallet is made, saved, opened, unlocked, used in every way, and locked. Nothing is left but
/// what the test looks for.
#[inline(never)]
fn use_a_wallet(directory: &std::path::Path) -> Vec<Sought> {
    let mut sought = Vec::new();
    let typed = Zeroizing::new(format!("correct horse {}", std::process::id()));
    sought.push(apart(|| Sought::new("password", typed.as_bytes())));
    let password = Password::new(&typed).unwrap();
    let phrase = Mnemonic::generate().unwrap();
    let seed = phrase.seed("passphrase").unwrap();
    let mut keys = Unlocked::from_words(phrase, seed, &password, cheap()).unwrap();
    keys.add("main".parse().unwrap(), 1).unwrap();
    {
        let digits = Zeroizing::new(
            (0u8..32).map(|byte| format!("{:02x}", byte.wrapping_mul(37) ^ 0x5c)).collect::<String>(),
        );
        keys.import("old".parse().unwrap(), &KeySeed::from_digits(digits.as_bytes()).unwrap()).unwrap();
    }
    for (what, name) in [("derived key", "main"), ("imported key", "old")] {
        let digits = keys.key_digits(&name.parse().unwrap()).unwrap();
        sought.push(apart(|| Sought::new(what, &unmasked(&digits))));
        sought.push(apart(|| Sought::new(what, digits.as_bytes())));
    }
    let words = keys.phrase().unwrap();
    sought.push(apart(|| Sought::new("entropy", &entropy_of(words))));
    sought.push(apart(|| Sought::new("words", joined(words).as_bytes())));
    sought.push(apart(|| Sought::new("seed", &seed_of(joined(words).as_bytes()))));
    let mut wallet =
        Wallet::create(directory, "mine".parse().unwrap(), Some(&keys), Book::default()).unwrap();
    let backup = write_backup(&keys, &Book::default(), &password, cheap()).unwrap();
    drop(keys);
    read_backup(&backup, &password).unwrap();

    let keystore = Keystore::from_json(&fs::read(wallet.keystore_path()).unwrap()).unwrap();
    assert!(keystore.unlock(&Password::new("wrong").unwrap()).is_err());
    let mut session = Session::locked();
    session.unlock(keystore.unlock(&password).unwrap(), Timestamp(1000), 60_000).unwrap();
    let keys = session.unlocked(Timestamp(2000)).unwrap();
    for account in keys.accounts().to_vec() {
        let key = keys.signing_key(&account.name).unwrap();
        black_box(key.sign(&body(), &BlockId([1; 32])));
        black_box(sign_message(&key, &BlockId([1; 32]), "text").unwrap());
    }
    keys.change_password(&password, cheap()).unwrap();
    wallet.save_keys(keys).unwrap();
    session.lock_if_due(Timestamp(61_000));
    sought
}

fn body() -> TransactionBody {
    TransactionBody {
        version: TRANSACTION_VERSION,
        nonce: Nonce(0),
        valid_until: Height(0),
        max_fee_rate: FeeRate(1),
        tip_rate: FeeRate(0),
        transfers: vec![Transfer {
            to: cairn_core::address::Address([7; 32]),
            amount: Amount::from_units(1),
        }],
        data: Vec::new(),
    }
}

/// The bytes of hexadecimal digits.
fn unmasked(digits: &str) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(vec![0; digits.len() / 2]);
    const_hex::decode_to_slice(digits, &mut bytes).unwrap();
    bytes
}

/// The words with blanks between them.
fn joined(phrase: &Mnemonic) -> Zeroizing<String> {
    let mut joined = Zeroizing::new(String::with_capacity(512));
    for word in phrase.words() {
        joined.push_str(word);
        joined.push(' ');
    }
    joined.pop();
    joined
}

/// The seed of words and a passphrase, as BIP-39 says: the first block of PBKDF2-HMAC-SHA512.
fn seed_of(phrase: &[u8]) -> Zeroizing<Vec<u8>> {
    let hash = |message: &[u8]| {
        let mut mac = Hmac::<Sha512>::new_from_slice(phrase).unwrap();
        mac.update(message);
        Zeroizing::new(mac.finalize().into_bytes().to_vec())
    };
    let mut block = hash(b"mnemonicpassphrase\0\0\0\x01");
    let mut seed = block.clone();
    for _ in 1..2048 {
        block = hash(&block);
        seed.iter_mut().zip(block.iter()).for_each(|(sum, byte)| *sum ^= byte);
    }
    seed
}

/// The entropy that words stand for: eleven bits a word.
fn entropy_of(phrase: &Mnemonic) -> Zeroizing<Vec<u8>> {
    let list: Vec<&str> =
        include_str!("../../../docs/spec/vectors/external/bip39/english.txt").lines().collect();
    let mut bytes = Zeroizing::new(Vec::with_capacity(64));
    let (mut bits, mut count) = (0u32, 0);
    for word in phrase.words() {
        bits = (bits << 11) | u32::try_from(list.iter().position(|it| *it == word).unwrap()).unwrap();
        count += 11;
        while count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xff).unwrap());
        }
    }
    bytes
}

#[test]
fn a_locked_wallet_leaves_no_secret_in_memory() {
    let directory = tempfile::tempdir().unwrap();
    // The search finds what is there: otherwise it would prove nothing.
    let planted = black_box(b"a planted secret, all of it".to_vec());
    let known = [Sought::new("planted", &planted)];
    assert_eq!(apart(|| found(&known)), ["planted"]);
    drop(planted);
    let sought = use_a_wallet(directory.path());
    assert_eq!(sought.len(), 8);
    assert_eq!(apart(|| found(&sought)), [] as [&str; 0]);
}
