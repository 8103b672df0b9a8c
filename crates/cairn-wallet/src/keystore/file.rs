//! The JSON of a keystore, and what backups share with it.

use super::{
    ACCOUNTS_MAX, FORMAT, KEYSTORE_BYTES_MAX, KEYSTORE_VERSION, KeyAccount, Keystore, KeystoreError, Origin,
    check_distinct,
};
use crate::derivation::DerivationPath;
use crate::name::{NAME_BYTES_MAX, Name};
use crate::sealed::{PLAINTEXT_BYTES_MAX, PasswordCost, Sealed, TAG_BYTES};
use base64ct::{Base64, Encoding as _};
use cairn_core::address::Address;
use cairn_core::codec::{Decode as _, DecodeError, Encode as _, Reader, encode_byte_string, encode_count};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

const KDF: &str = "argon2id";
const CIPHER: &str = "xchacha20-poly1305";
/// The fewest bytes of an account: a name of one letter, an address, its origin.
const ACCOUNT_BYTES_MIN: usize = 4 + 1 + 32 + 1;
const DERIVED: u8 = 1;
const IMPORTED: u8 = 2;

/// What every file of ours begins with; the rest is read once this is known.
#[derive(Debug, Deserialize)]
struct Head {
    format: String,
    version: u32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeystoreShape {
    format: String,
    version: u32,
    accounts: Vec<AccountShape>,
    seal: SealShape,
    checksum: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountShape {
    name: String,
    address: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
}

/// The JSON of sealed bytes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SealShape {
    kdf: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: String,
    cipher: String,
    nonce: String,
    body: String,
}

pub(super) fn read_keystore(json: &[u8]) -> Result<Keystore, KeystoreError> {
    read_head(json, KEYSTORE_BYTES_MAX, FORMAT)?;
    let shape: KeystoreShape = read_json(json)?;
    if shape.accounts.len() > ACCOUNTS_MAX {
        return Err(KeystoreError::Field { field: "accounts", expected: "at most 1,000 accounts" });
    }
    let accounts = shape.accounts.iter().map(AccountShape::read).collect::<Result<Vec<_>, _>>()?;
    check_distinct(&accounts)?;
    let keystore = Keystore { accounts, sealed: shape.seal.read()? };
    if decode_hex("checksum", &shape.checksum)? == keystore.checksum() {
        Ok(keystore)
    } else {
        Err(KeystoreError::Damaged)
    }
}

pub(super) fn write_keystore(keystore: &Keystore) -> Vec<u8> {
    to_json(&KeystoreShape {
        format: FORMAT.to_owned(),
        version: KEYSTORE_VERSION,
        accounts: keystore.accounts.iter().map(AccountShape::of).collect(),
        seal: SealShape::of(&keystore.sealed),
        checksum: const_hex::encode(keystore.checksum()),
    })
}

/// Refuses what is too long, of another format or of a later version.
pub(crate) fn read_head(json: &[u8], limit: usize, format: &'static str) -> Result<(), KeystoreError> {
    if json.len() > limit {
        return Err(KeystoreError::TooLong { limit });
    }
    let head: Head = read_json(json)?;
    if head.format != format {
        return Err(KeystoreError::Format { expected: format });
    }
    if head.version != KEYSTORE_VERSION {
        return Err(KeystoreError::Version { found: head.version });
    }
    Ok(())
}

pub(crate) fn read_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, KeystoreError> {
    serde_json::from_slice(json).map_err(KeystoreError::Shape)
}

/// JSON for people, with a line end.
pub(crate) fn to_json(shape: &impl Serialize) -> Vec<u8> {
    let mut json = serde_json::to_vec_pretty(shape).expect("texts, numbers and lists are JSON");
    json.push(b'\n');
    json
}

/// Bytes of so many lower-case hexadecimal digits: one value has one text.
pub(crate) fn decode_hex<const N: usize>(field: &'static str, text: &str) -> Result<[u8; N], KeystoreError> {
    const_hex::decode_to_array(text)
        .ok()
        .filter(|bytes: &[u8; N]| const_hex::encode(bytes) == text)
        .ok_or(KeystoreError::Field { field, expected: "lower-case hexadecimal digits of its length" })
}

impl AccountShape {
    fn of(account: &KeyAccount) -> Self {
        Self {
            name: account.name.to_string(),
            address: const_hex::encode(account.address.0),
            path: match account.origin {
                Origin::Derived(path) => Some(path.to_string()),
                Origin::Imported => None,
            },
        }
    }

    fn read(&self) -> Result<KeyAccount, KeystoreError> {
        Ok(KeyAccount {
            name: self.name.parse()?,
            address: Address(decode_hex("address", &self.address)?),
            origin: match &self.path {
                Some(path) => Origin::Derived(path.parse()?),
                None => Origin::Imported,
            },
        })
    }
}

impl SealShape {
    pub(crate) fn of(sealed: &Sealed) -> Self {
        Self {
            kdf: KDF.to_owned(),
            memory_kib: sealed.cost.memory_kib(),
            passes: sealed.cost.passes(),
            lanes: sealed.cost.lanes(),
            salt: const_hex::encode(sealed.salt),
            cipher: CIPHER.to_owned(),
            nonce: const_hex::encode(sealed.nonce),
            body: Base64::encode_string(&sealed.body),
        }
    }

    pub(crate) fn read(&self) -> Result<Sealed, KeystoreError> {
        if self.kdf != KDF {
            return Err(KeystoreError::Field { field: "kdf", expected: KDF });
        }
        if self.cipher != CIPHER {
            return Err(KeystoreError::Field { field: "cipher", expected: CIPHER });
        }
        let cost = PasswordCost::new(self.memory_kib, self.passes, self.lanes)?;
        let salt = decode_hex("salt", &self.salt)?;
        let nonce = decode_hex("nonce", &self.nonce)?;
        let not_base64 =
            KeystoreError::Field { field: "body", expected: "base64 with padding (RFC 4648, 4)" };
        let body = Base64::decode_vec(&self.body).map_err(|_| not_base64)?;
        if body.len() < TAG_BYTES || body.len() > PLAINTEXT_BYTES_MAX + TAG_BYTES {
            return Err(KeystoreError::Field { field: "body", expected: "sealed bytes" });
        }
        Ok(Sealed { cost, salt, nonce, body })
    }
}

/// Canonical bytes of accounts: what the seal authenticates beside the secrets.
pub(crate) fn encode_accounts(accounts: &[KeyAccount]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_count(accounts.len(), &mut out);
    for account in accounts {
        encode_byte_string(account.name.as_str().as_bytes(), &mut out);
        account.address.encode(&mut out);
        match account.origin {
            Origin::Derived(path) => {
                DERIVED.encode(&mut out);
                path.coin_type().encode(&mut out);
                path.index().encode(&mut out);
            }
            Origin::Imported => IMPORTED.encode(&mut out),
        }
    }
    out
}

/// Reads what [`encode_accounts`] wrote.
pub(crate) fn decode_accounts(reader: &mut Reader<'_>) -> Result<Vec<KeyAccount>, DecodeError> {
    let count = reader.count("accounts", ACCOUNTS_MAX, ACCOUNT_BYTES_MIN)?;
    (0..count).map(|_| decode_account(reader)).collect()
}

fn decode_account(reader: &mut Reader<'_>) -> Result<KeyAccount, DecodeError> {
    let name = reader.text("name", NAME_BYTES_MAX)?;
    let no_name = DecodeError::NotCanonical { what: "name", at: reader.position() };
    let name: Name = name.parse().map_err(|_| no_name)?;
    let address = Address::decode(reader)?;
    let at = reader.position();
    let origin = match u8::decode(reader)? {
        DERIVED => {
            let (coin_type, index) = (u32::decode(reader)?, u32::decode(reader)?);
            let no_path = DecodeError::NotCanonical { what: "path", at: reader.position() };
            Origin::Derived(DerivationPath::new(coin_type, index).map_err(|_| no_path)?)
        }
        IMPORTED => Origin::Imported,
        found => return Err(DecodeError::UnknownKind { what: "origin of a key", at, found }),
    };
    Ok(KeyAccount { name, address, origin })
}
