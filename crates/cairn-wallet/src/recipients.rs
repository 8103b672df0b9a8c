//! Many recipients from a table: a line each, split into as few transactions as their order allows.
//!
//! The table is comma-separated text (RFC 4180, without line ends inside quotes): an address or a
//! contact's name, an amount in coins, and bytes to carry along where a line has some. The first
//! line may name the columns. All wrong lines are told at once, each with its number.

use cairn_core::address::{Address, AddressError, AddressPrefix};
use cairn_core::genesis::coins::{self, CoinsError};
use cairn_core::network::Limits;
use cairn_core::numbers::Amount;
use cairn_core::transaction::Transfer;

/// The longest table, in bytes.
pub const TABLE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The most recipients of a table.
pub const RECIPIENTS_MAX: usize = 100_000;
/// How many wrong lines are told at most.
pub const LINE_ERRORS_MAX: usize = 20;

/// What a table is read with.
pub struct TableReader<'a> {
    /// How addresses of the network begin.
    pub prefix: &'a AddressPrefix,
    /// One coin is 10^decimals base units.
    pub decimals: u8,
    /// What genesis allows in a transaction.
    pub limits: &'a Limits,
    /// The address of a contact or an account with a name; asked for texts that are no addresses.
    pub find: &'a dyn Fn(&str) -> Option<Address>,
}

/// The transfers of one transaction, and the bytes that it carries along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// Who receives how much.
    pub transfers: Vec<Transfer>,
    /// What the lines carry along: all lines of a bundle carry the same.
    pub data: Vec<u8>,
}

/// A table as transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipients {
    /// A transaction each, in the order of the lines.
    pub bundles: Vec<Bundle>,
    /// What all of them transfer, without fees.
    pub total: Amount,
    /// How many lines had a recipient.
    pub count: usize,
}

/// Why a table is not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// It is longer than any.
    #[error("the table has {found} bytes, at most {TABLE_BYTES_MAX} are allowed")]
    TooLong {
        /// Its bytes.
        found: usize,
    },
    /// It is not UTF-8.
    #[error("the table is not UTF-8 text")]
    NotText,
    /// There is nobody in it.
    #[error("the table has no recipient")]
    Empty,
    /// There are too many in it.
    #[error("the table has more than {RECIPIENTS_MAX} recipients")]
    TooMany,
    /// The sum exceeds what an amount holds.
    #[error("the amounts of the table exceed 2^64 - 1 base units")]
    TooMuch,
    /// Lines are wrong: nothing is sent.
    #[error("{count} lines are wrong")]
    Lines {
        /// The first of them, at most [`LINE_ERRORS_MAX`].
        first: Vec<LineError>,
        /// How many there are.
        count: usize,
    },
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct LineError {
    /// Which line, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub fault: LineFault,
}

/// How a line can be wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineFault {
    /// A line has two or three fields.
    #[error("a line has an address, an amount and perhaps data, this has {found} fields")]
    Fields {
        /// How many it has.
        found: usize,
    },
    /// A quote is not closed, or something follows it.
    #[error("a quote is not closed, or something follows it")]
    Quote,
    /// The recipient is no contact, and no address of this network.
    #[error(transparent)]
    Recipient(#[from] AddressError),
    /// The amount is not a number of coins.
    #[error("the amount: {0}")]
    Amount(#[from] CoinsError),
    /// The amount is nothing.
    #[error("an amount of nothing cannot be sent")]
    NoAmount,
    /// The data is `0x` and something else than pairs of hexadecimal digits.
    #[error("data behind 0x is pairs of hexadecimal digits")]
    Data,
    /// The data is longer than genesis allows.
    #[error("the data has {found} bytes, at most {limit} are allowed")]
    TooMuchData {
        /// Its bytes.
        found: usize,
        /// The limit of the network.
        limit: usize,
    },
}

/// A line that can be sent.
struct Row {
    transfer: Transfer,
    data: Vec<u8>,
}

impl TableReader<'_> {
    /// Reads a table.
    ///
    /// # Errors
    ///
    /// [`TableError`]; one wrong line refuses the whole table, so that nobody is paid twice when it
    /// is mended.
    pub fn read(&self, table: &[u8]) -> Result<Recipients, TableError> {
        if table.len() > TABLE_BYTES_MAX {
            return Err(TableError::TooLong { found: table.len() });
        }
        let text = std::str::from_utf8(table).map_err(|_| TableError::NotText)?;
        // Spreadsheets put a mark before the first character.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut rows = Vec::new();
        let (mut first, mut wrong) = (Vec::new(), 0);
        for (place, line) in text.lines().enumerate() {
            if line.trim().is_empty() || (place == 0 && is_heading(line)) {
                continue;
            }
            match self.read_line(line) {
                Ok(row) => rows.push(row),
                Err(fault) => {
                    wrong += 1;
                    if first.len() < LINE_ERRORS_MAX {
                        first.push(LineError { line: place + 1, fault });
                    }
                }
            }
            if rows.len() > RECIPIENTS_MAX {
                return Err(TableError::TooMany);
            }
        }
        if wrong > 0 {
            return Err(TableError::Lines { first, count: wrong });
        }
        if rows.is_empty() {
            return Err(TableError::Empty);
        }
        let total = Amount::checked_sum(rows.iter().map(|row| row.transfer.amount));
        let total = total.ok_or(TableError::TooMuch)?;
        Ok(Recipients { count: rows.len(), total, bundles: bundle(rows, self.limits) })
    }

    fn read_line(&self, line: &str) -> Result<Row, LineFault> {
        let fields = split_fields(line)?;
        let (to, amount, data) = match fields.as_slice() {
            [to, amount] => (to, amount, ""),
            [to, amount, data] => (to, amount, data.as_str()),
            _ => return Err(LineFault::Fields { found: fields.len() }),
        };
        let to = match (self.find)(to) {
            Some(address) => address,
            None => Address::from_text(to, self.prefix)?,
        };
        let amount = match coins::parse(amount, self.decimals)? {
            Amount::ZERO => return Err(LineFault::NoAmount),
            amount => amount,
        };
        let data = match data.strip_prefix("0x") {
            Some(digits) => const_hex::decode(digits).map_err(|_| LineFault::Data)?,
            None => data.as_bytes().to_vec(),
        };
        let (found, limit) = (data.len(), self.limits.data_bytes);
        if found > limit {
            return Err(LineFault::TooMuchData { found, limit });
        }
        Ok(Row { transfer: Transfer { to, amount }, data })
    }
}

/// Whether a first line names the columns.
fn is_heading(line: &str) -> bool {
    let fields = split_fields(line).unwrap_or_default();
    let [to, amount, ..] = fields.as_slice() else {
        return false;
    };
    amount.eq_ignore_ascii_case("amount")
        && ["address", "to", "recipient", "contact", "name"].contains(&to.to_ascii_lowercase().as_str())
}

/// The fields of a line, without blanks around them.
fn split_fields(line: &str) -> Result<Vec<String>, LineFault> {
    let mut fields = Vec::new();
    let mut rest = line.trim();
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => take_quoted(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let (field, after) = rest.split_at(end);
                (field.trim_end().to_owned(), after)
            }
        };
        fields.push(field);
        match after.trim_start().strip_prefix(',') {
            Some(next) => rest = next.trim_start(),
            None if after.trim().is_empty() => return Ok(fields),
            None => return Err(LineFault::Quote),
        }
    }
}

/// A field behind its opening quote, and what follows its closing one; two quotes are one.
fn take_quoted(text: &str) -> Result<(String, &str), LineFault> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (part, after) = rest.split_once('"').ok_or(LineFault::Quote)?;
        field.push_str(part);
        match after.strip_prefix('"') {
            Some(next) => {
                field.push('"');
                rest = next;
            }
            None => return Ok((field, after)),
        }
    }
}

/// Lines that follow each other and carry the same along share a transaction, as many as it holds.
fn bundle(rows: Vec<Row>, limits: &Limits) -> Vec<Bundle> {
    let mut bundles: Vec<Bundle> = Vec::new();
    for Row { transfer, data } in rows {
        match bundles.last_mut() {
            Some(last) if last.data == data && last.transfers.len() < transfers_max(limits, data.len()) => {
                last.transfers.push(transfer);
            }
            _ => bundles.push(Bundle { transfers: vec![transfer], data }),
        }
    }
    bundles
}

/// How many transfers a transaction with so much data has room for; at least one, which the
/// network may still refuse.
fn transfers_max(limits: &Limits, data_bytes: usize) -> usize {
    // What stands in a transaction beside transfers and data, with an ed25519 witness, and a transfer.
    const REST_BYTES: usize = cairn_core::transaction::TRANSACTION_BYTES_MIN - TRANSFER_BYTES;
    const TRANSFER_BYTES: usize = 40;
    let room = limits.transaction_bytes.saturating_sub(REST_BYTES).saturating_sub(data_bytes);
    limits.transfers.min(room / TRANSFER_BYTES).max(1)
}

impl std::fmt::Debug for TableReader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableReader").field("prefix", self.prefix).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_core::numbers::Weight;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits {
        transaction_bytes: 64 * 1024,
        data_bytes: 1024,
        transfers: 256,
        block_weight: Weight(1 << 20),
        block_transactions: 5000,
        extra_bytes: 1024,
    };

    fn prefix() -> AddressPrefix {
        AddressPrefix::new("cairn").unwrap()
    }

    fn read_with(table: &[u8], limits: &Limits) -> Result<Recipients, TableError> {
        let find = |name: &str| (name == "bob").then_some(Address([2; 32]));
        TableReader { prefix: &prefix(), decimals: 2, limits, find: &find }.read(table)
    }

    fn read(table: &str) -> Result<Recipients, TableError> {
        read_with(table.as_bytes(), &LIMITS)
    }

    fn wrong(table: &str) -> Vec<(usize, LineFault)> {
        match read(table).unwrap_err() {
            TableError::Lines { first, .. } => first.into_iter().map(|it| (it.line, it.fault)).collect(),
            other => panic!("{other}"),
        }
    }

    fn address(byte: u8) -> String {
        Address([byte; 32]).to_text(&prefix())
    }

    fn transfer(byte: u8, units: u64) -> Transfer {
        Transfer { to: Address([byte; 32]), amount: Amount::from_units(units) }
    }

    #[test]
    fn addresses_and_contacts_are_paid_in_their_order() {
        let table = format!("\u{feff}Address,Amount\r\n{}, 1.5\r\n\r\n \"bob\" , \"2\" \n", address(1));
        let recipients = read(&table).unwrap();
        assert_eq!(recipients.total, Amount::from_units(350));
        assert_eq!(recipients.count, 2);
        let bundle = Bundle { transfers: vec![transfer(1, 150), transfer(2, 200)], data: Vec::new() };
        assert_eq!(recipients.bundles, [bundle]);
    }

    #[test]
    fn lines_that_carry_something_else_are_another_transaction() {
        let recipients =
            read("bob,1,\"a \"\"b\"\", c\"\nbob,2,\"a \"\"b\"\", c\"\nbob,3\nbob,4,0x00ff\n").unwrap();
        let parts: Vec<_> =
            recipients.bundles.iter().map(|it| (it.transfers.len(), it.data.as_slice())).collect();
        assert_eq!(parts, [(2, &b"a \"b\", c"[..]), (1, b""), (1, &[0, 255])]);
    }

    #[test]
    fn a_transaction_holds_256_transfers_and_no_more_bytes_than_genesis_allows() {
        let table = "bob,1\n".repeat(600);
        let sizes = |limits: &Limits| -> Vec<usize> {
            let recipients = read_with(table.as_bytes(), limits).unwrap();
            recipients.bundles.iter().map(|bundle| bundle.transfers.len()).collect()
        };
        assert_eq!(sizes(&LIMITS), [256, 256, 88]);
        assert_eq!(sizes(&Limits { transfers: 500, ..LIMITS }), [500, 100]);
        // 178 bytes with one transfer, 40 for each other one.
        assert_eq!(
            sizes(&Limits { transaction_bytes: 178 + 299 * 40, transfers: 500, ..LIMITS }),
            [300, 300]
        );
        assert_eq!(
            sizes(&Limits { transaction_bytes: 178 + 299 * 40 - 1, transfers: 500, ..LIMITS }),
            [299, 299, 2]
        );
    }

    #[test]
    fn all_wrong_lines_are_told_with_their_numbers() {
        let table = "to,amount\nbob,1\nbob\nbob,0\nbob,x\nbob,1,0xabc\nmallory,1\nbob,\"1\nbob,1,2,3\n";
        let faults = wrong(table);
        let lines: Vec<usize> = faults.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(faults[0].1, LineFault::Fields { found: 1 });
        assert_eq!(faults[1].1, LineFault::NoAmount);
        assert_eq!(faults[2].1, LineFault::Amount(CoinsError::Form));
        assert_eq!(faults[3].1, LineFault::Data);
        assert!(matches!(faults[4].1, LineFault::Recipient(AddressError::NotBech32 { .. })));
        assert_eq!(faults[5].1, LineFault::Quote);
        assert_eq!(faults[6].1, LineFault::Fields { found: 4 });
    }

    #[test]
    fn of_a_thousand_wrong_lines_the_first_are_told() {
        let error = read(&"nobody,1\n".repeat(1000)).unwrap_err();
        assert!(matches!(&error, TableError::Lines { first, count: 1000 } if first.len() == LINE_ERRORS_MAX));
    }

    #[test]
    fn an_address_of_another_network_is_told() {
        let foreign = Address([1; 32]).to_text(&AddressPrefix::new("tn").unwrap());
        let faults = wrong(&format!("{foreign},1"));
        assert!(matches!(faults[0], (1, LineFault::Recipient(AddressError::WrongNetwork { .. }))));
    }

    #[test]
    fn tables_without_end_and_sums_without_bound_are_refused() {
        assert_eq!(read(""), Err(TableError::Empty));
        assert_eq!(read("address,amount\n"), Err(TableError::Empty));
        assert_eq!(read(&"bob,1\n".repeat(RECIPIENTS_MAX + 1)), Err(TableError::TooMany));
        assert_eq!(read("bob,184467440737095516.15\nbob,0.01"), Err(TableError::TooMuch));
        assert_eq!(read_with(&[0xff], &LIMITS), Err(TableError::NotText));
        let found = TABLE_BYTES_MAX + 1;
        assert_eq!(read_with(&vec![b' '; found], &LIMITS), Err(TableError::TooLong { found }));
        let found = LIMITS.data_bytes + 1;
        let faults = wrong(&format!("bob,1,{}", "x".repeat(found)));
        assert_eq!(faults, [(1, LineFault::TooMuchData { found, limit: 1024 })]);
    }

    proptest! {
        #[test]
        fn any_table_is_read_or_refused(table in "[bo,\"1.\\n 0x\\r]{0,200}") {
            let _ = read(&table);
        }

        #[test]
        fn nobody_is_left_out(amounts in proptest::collection::vec((1u64..1000, 0u8..3), 1..700)) {
            let lines = amounts.iter().map(|(units, data)| format!("bob,{units},{data}\n"));
            let recipients = read(&lines.collect::<String>()).unwrap();
            let paid: Vec<(u64, u8)> = recipients
                .bundles
                .iter()
                .flat_map(|bundle| bundle.transfers.iter().map(|it| (it.amount.units() / 100, bundle.data[0] - b'0')))
                .collect();
            prop_assert_eq!(paid, amounts);
        }
    }
}
