//! The JSON shapes of the HTTP interface: what the server writes and the command line reads.
//!
//! Amounts and fee rates are strings of base units, because JSON numbers lose digits above 2⁵³.
//! Hashes and bytes are lower-case hexadecimal, addresses bech32m. What a client sends refuses
//! unknown fields; what a client reads may gain fields later. `docs/spec/09-api.md` has an example
//! of each body.

#[cfg(test)]
mod examples;
mod text;

pub(crate) use text::parse_number;
pub use text::{Bytes, Hash, Units};

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// The refusal.
    pub error: ErrorView,
}

/// A refusal: which, by which rule, with the numbers, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorView {
    /// A name in kebab case that never changes its meaning.
    #[schema(example = "nonce-too-low")]
    pub code: String,
    /// The number of the rule in `docs/spec` that was broken; none where no numbered rule was.
    #[serde(default)]
    #[schema(example = "TX-3")]
    pub rule: Option<String>,
    /// What is wrong, with both sides.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

/// How a node is, and all that a client needs to build and sign transactions for its network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The network's name.
    pub network: String,
    /// The id of block 0, which names the network for certain.
    pub identity: Hash,
    /// The version of the program.
    pub version: String,
    /// What the node does: `full` or `miner`.
    pub role: String,
    /// The node's own name.
    pub name: String,
    /// The height of the tip.
    pub height: u64,
    /// The id of the highest block of the chain.
    pub tip: Hash,
    /// When the producer of the tip says it was made, in milliseconds since 1970.
    pub tip_time_ms: u64,
    /// The work of the chain, in hashes: decimal digits.
    #[schema(example = "1048576")]
    pub work: String,
    /// The height up to which blocks are final; none where nothing makes them final.
    pub finalized_height: Option<u64>,
    /// How many peers are connected.
    pub peers: u32,
    /// Whether other nodes can dial this one; none where nobody has tried: the node must be built with `autonat`
    /// and told to ask.
    pub reachable: Option<bool>,
    /// How far the node is with what it knows of.
    pub sync: SyncView,
    /// What waits for a block.
    pub mempool: MempoolSize,
    /// All balances together.
    pub supply: Units,
    /// How many accounts there are.
    pub accounts: u64,
    /// The mode: `pow`, `pow+permit`, `bft` or `pow+finality`.
    pub consensus: String,
    /// Whether the published development accounts and the faucet may be used here.
    pub devnet: bool,
    /// The number that tells networks apart at a glance.
    pub network_id: u32,
    /// The coin's symbol.
    pub symbol: String,
    /// One coin is 10^decimals base units.
    pub decimals: u8,
    /// How addresses begin.
    pub address_prefix: String,
    /// The coin type in key derivation paths (SLIP-44).
    pub coin_type: u32,
    /// The intended time between blocks, in milliseconds.
    pub interval_ms: u64,
    /// How many blocks later a reward is credited.
    pub maturity: u32,
    /// What every account that a transaction touches must keep.
    pub reserve: Units,
    /// What a transaction has to pay.
    pub fees: FeesView,
    /// The sizes that genesis allows.
    pub limits: LimitsView,
    /// The signature schemes that accounts may use.
    pub schemes: Vec<String>,
    /// Whether and when the node makes blocks.
    pub mining: MiningView,
}

/// How far a node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SyncView {
    /// `synced`: all blocks that the node knows of are executed; `headers`: a peer shows the headers of a
    /// better chain; `blocks`: its blocks are coming.
    #[schema(example = "synced")]
    pub state: String,
    /// The height it has reached.
    pub height: u64,
    /// The height it goes for.
    pub target: u64,
}

/// How much waits for a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MempoolSize {
    /// How many transactions.
    pub transactions: u64,
    /// What they count against the mempool's limit, in bytes.
    pub bytes: u64,
}

/// What a transaction has to pay for a unit of weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FeesView {
    /// The base fee of the next block.
    pub base_fee: Units,
    /// The least base fee.
    pub floor: Units,
    /// Whether the base fee moves with demand.
    pub moving: bool,
    /// Whether the base part of a fee is burned; otherwise the producer gets it.
    pub burn: bool,
}

/// The sizes that genesis allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LimitsView {
    /// The most bytes of a transaction.
    pub transaction_bytes: u64,
    /// The most bytes of data in a transaction.
    pub data_bytes: u64,
    /// The most transfers of a transaction.
    pub transfers: u64,
    /// The greatest weight of a block.
    pub block_weight: u64,
    /// The most transactions of a block.
    pub block_transactions: u32,
    /// The most bytes of extra data in a block.
    pub extra_bytes: u64,
}

/// Whether and when a node makes blocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MiningView {
    /// When it makes them.
    pub mode: MiningModeView,
    /// Who is paid for them; none where the node makes no blocks.
    pub producer: Option<String>,
    /// Whether it works on a block right now.
    pub working: bool,
    /// How many threads search for work; 0 where the node makes no blocks.
    pub threads: u16,
    /// How they compute hashes: `avx512`, `sha-ni`, `avx2`, `armv8` or `portable`.
    pub kernel: String,
    /// Hashes a second that they tried, on average over the last ten seconds; 0 after ten seconds of rest.
    pub hash_rate: u64,
}

/// When a node makes blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MiningModeView {
    /// Only when asked.
    Manual,
    /// As soon as a transaction can be confirmed.
    OnTransaction,
    /// One each interval.
    Interval,
    /// Always.
    Continuous,
}

/// A block in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlockSummary {
    /// The number of blocks below.
    pub height: u64,
    /// The id.
    pub id: Hash,
    /// When its producer says it was made, in milliseconds since 1970.
    pub time_ms: u64,
    /// Who got fees and reward.
    pub producer: String,
    /// How many transactions it holds.
    pub transaction_count: u32,
    /// What they weigh.
    pub weight_used: u64,
    /// The price of a unit of weight in it.
    pub base_fee: Units,
}

/// A block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlockView {
    /// The number of blocks below.
    pub height: u64,
    /// The id.
    pub id: Hash,
    /// The version of header and body.
    pub version: u16,
    /// When its producer says it was made, in milliseconds since 1970.
    pub time_ms: u64,
    /// The id of the parent; zero for block 0.
    pub parent: Hash,
    /// How many transactions it holds.
    pub transaction_count: u32,
    /// The root over their leaves.
    pub transaction_root: Hash,
    /// The root over all accounts after the block.
    pub state_root: Hash,
    /// The root over all earlier blocks.
    pub history_root: Hash,
    /// The hash of the certificate in the body; zero where there is none.
    pub prev_seal: Hash,
    /// Who gets fees and reward.
    pub producer: String,
    /// The compact target of the work hash, 8 hexadecimal digits.
    #[schema(example = "1f0fffff")]
    pub target: String,
    /// The price of a unit of weight in it.
    pub base_fee: Units,
    /// What its transactions weigh.
    pub weight_used: u64,
    /// The hash of the extra data.
    pub extra_hash: Hash,
    /// What closes it.
    pub seal: SealView,
    /// The extra data.
    pub extra: Bytes,
    /// The length of its canonical bytes with the seal.
    pub bytes: u64,
    /// Whether it is on the chain; a block of a side branch is not.
    pub on_chain: bool,
    /// How many blocks of the chain confirm it, itself included; 0 on a side branch.
    pub confirmations: u64,
    /// The ids of its transactions in order; absent where `transactions` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction_ids: Option<Vec<Hash>>,
    /// Its transactions in order, if `full=true` asked for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transactions: Option<Vec<TransactionView>>,
}

/// What closes a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SealView {
    /// `work`, `permit` or `certificate`.
    #[schema(example = "work")]
    pub kind: String,
    /// The work nonce, as a decimal string.
    pub nonce: Units,
    /// The signature of a listed miner over the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Bytes>,
}

/// A branch that is known and not on the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ForkView {
    /// The id of its highest block.
    pub tip: Hash,
    /// The height of its highest block.
    pub height: u64,
    /// The height of the highest block that it shares with the chain.
    pub fork_height: u64,
    /// How many blocks it has above that.
    pub length: u64,
}

/// A transfer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TransferView {
    /// Who receives.
    pub to: String,
    /// How much, in base units.
    pub amount: Units,
}

/// What a sender signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BodyView {
    /// The version of the format, 1.
    pub version: u8,
    /// How many transactions the sender has sent before.
    pub nonce: u64,
    /// The last height of a block that may hold the transaction; 0 for no limit.
    pub valid_until: u64,
    /// The most the sender pays for a unit of weight.
    pub max_fee_rate: Units,
    /// What the sender pays the producer for a unit of weight beside the base fee.
    pub tip_rate: Units,
    /// Who receives how much.
    pub transfers: Vec<TransferView>,
    /// Bytes for whoever reads the chain.
    pub data: Bytes,
}

/// The key and the signature of a sender.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WitnessView {
    /// The signature scheme: `ed25519`.
    pub scheme: String,
    /// The public key.
    pub key: Bytes,
    /// The signature over the transaction id.
    pub signature: Bytes,
}

/// A signed transaction, as a client sends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignedTransaction {
    /// What is signed.
    pub body: BodyView,
    /// The key and the signature.
    pub witness: WitnessView,
}

/// A transaction with what follows from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TransactionView {
    /// The id: what the sender signed.
    pub id: Hash,
    /// The transaction with its witness: its leaf in the block's transaction tree.
    pub leaf: Hash,
    /// Who pays.
    pub sender: String,
    /// The sum of its transfers.
    pub amount: Units,
    /// Its weight.
    pub weight: u64,
    /// The length of its canonical bytes.
    pub bytes: u64,
    /// What is signed.
    pub body: BodyView,
    /// The key and the signature.
    pub witness: WitnessView,
}

/// How far a transaction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TransactionState {
    /// It waits in the mempool.
    Pending,
    /// It is in a block of the chain.
    Confirmed,
    /// It is in a block that a certificate makes final.
    Final,
}

/// A transaction that was taken: it waits for a block, and survives a crash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Submitted {
    /// Its id.
    pub id: Hash,
    /// Always `pending`.
    pub status: TransactionState,
}

/// What became of one of several transactions that came together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubmitResult {
    /// Its id; none where the transaction could not even be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Hash>,
    /// `pending` where it was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<TransactionState>,
    /// Why it was not taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorView>,
}

/// Where a transaction is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TransactionStatus {
    /// Its id.
    pub id: Hash,
    /// How far it has come.
    pub status: TransactionState,
    /// The height of its block; none while it waits.
    pub height: Option<u64>,
    /// The id of its block; none while it waits.
    pub block: Option<Hash>,
    /// Its place in the block, from 0; none while it waits.
    pub place: Option<u32>,
    /// How many blocks confirm it, its own included; 0 while it waits.
    pub confirmations: u64,
    /// When its block was made, in milliseconds since 1970; none while it waits.
    pub time_ms: Option<u64>,
    /// What it paid; none while it waits.
    pub fee: Option<Units>,
    /// Why it waits; none once it is in a block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<WaitView>,
    /// The transaction.
    pub transaction: TransactionView,
}

/// What shows that a transaction is in a block: its bytes lead over the siblings to the
/// transaction root of the header, whose seal hash with the work nonce gives the block's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TransactionProof {
    /// The id of the transaction.
    pub id: Hash,
    /// Its leaf.
    pub leaf: Hash,
    /// The canonical bytes of the transaction.
    pub transaction: Bytes,
    /// The height of the block.
    pub height: u64,
    /// The id of the block.
    pub block: Hash,
    /// The canonical bytes of the block's header.
    pub header: Bytes,
    /// What closes the block.
    pub seal: SealView,
    /// The place of the leaf in the tree, from 0.
    pub index: u32,
    /// How many leaves the tree has.
    pub count: u32,
    /// The hashes beside the way from the leaf to the root, lowest first.
    pub siblings: Vec<Hash>,
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccountView {
    /// Its address.
    pub address: String,
    /// What it owns.
    pub balance: Units,
    /// The nonce its next transaction carries.
    pub nonce: u64,
    /// What is left of the balance when all that waits is paid at its greatest fee; absent for the past.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_balance: Option<Units>,
    /// The nonce that follows all that waits without a gap; absent for the past.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_nonce: Option<u64>,
    /// The height of the block after which this holds.
    pub height: u64,
}

/// What shows an account, or that there is none, under the state root of a header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccountProof {
    /// The address.
    pub address: String,
    /// The place of the account in the state tree.
    pub path: Hash,
    /// What it owns; none if there is no account.
    pub balance: Option<Units>,
    /// Its nonce; none if there is no account.
    pub nonce: Option<u64>,
    /// The height of the block after which this holds.
    pub height: u64,
    /// The id of that block.
    pub block: Hash,
    /// The canonical bytes of its header, which holds the state root.
    pub header: Bytes,
    /// What closes that block.
    pub seal: SealView,
    /// The hashes beside the way, from the root down.
    pub siblings: Vec<Hash>,
    /// The entry at the end of the way; none if there is none.
    pub leaf: Option<StateLeafView>,
}

/// An entry of the state tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StateLeafView {
    /// Its path.
    pub path: Hash,
    /// The canonical bytes of its value.
    pub value: Bytes,
}

/// One thing that changed an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccountEntry {
    /// What `before` takes to go on behind this entry.
    #[schema(example = "12.0")]
    pub cursor: String,
    /// `sent`, `received`, or `payment` for fees and rewards of block production.
    pub kind: AccountEntryKind,
    /// The height of the block.
    pub height: u64,
    /// The id of the block.
    pub block: Hash,
    /// When the block was made, in milliseconds since 1970.
    pub time_ms: u64,
    /// The id of the transaction; none for a payment.
    pub id: Option<Hash>,
    /// The sender of the transaction; none for a payment.
    pub sender: Option<String>,
    /// What the account got: from a transaction, its own transfers to itself included; of a payment,
    /// all of it.
    pub received: Option<Units>,
    /// What the account transferred, without the fee; none unless it is the sender.
    pub sent: Option<Units>,
    /// The fee that the account paid; none unless it is the sender.
    pub fee: Option<Units>,
    /// The part of a payment that is fees of the block; none unless it is a payment.
    pub fees_earned: Option<Units>,
    /// The part of a payment that is the reward that matured in the block; none unless it is a payment.
    pub reward: Option<Units>,
}

/// How an account took part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AccountEntryKind {
    /// It sent the transaction.
    Sent,
    /// The transaction had a transfer for it.
    Received,
    /// It was paid at the end of the block.
    Payment,
}

/// A transaction that waits for a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MempoolEntry {
    /// Its id.
    pub id: Hash,
    /// Who pays.
    pub sender: String,
    /// Its nonce.
    pub nonce: u64,
    /// The sum of its transfers.
    pub amount: Units,
    /// Its weight.
    pub weight: u64,
    /// The length of its canonical bytes.
    pub bytes: u64,
    /// The most its sender pays for a unit of weight.
    pub max_fee_rate: Units,
    /// What its sender pays the producer for a unit of weight.
    pub tip_rate: Units,
    /// The last height of a block that may hold it; 0 for no limit.
    pub valid_until: u64,
    /// When it came, in milliseconds since 1970.
    pub since_ms: u64,
    /// What `before` takes to go on behind this entry.
    pub cursor: u64,
    /// Why it waits.
    pub waits: WaitView,
}

/// Why a transaction waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WaitView {
    /// `ready` (for the next block), `nonce-gap`, `base-fee`, `balance`, `earlier` (for an earlier
    /// transaction of its sender that waits for something) or `rule`.
    #[schema(example = "ready")]
    pub reason: String,
    /// The reason as a sentence, with its numbers.
    pub message: String,
}

/// Asks a node for blocks, or tells it when and with how many threads to make them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MineRequest {
    /// How many blocks to make now: 1 to 1,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocks: Option<u32>,
    /// From now on, when to make blocks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<MiningModeView>,
    /// From now on, how many threads search for work: 1 to 256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<u16>,
}

/// What came of a [`MineRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MineAnswer {
    /// When the node makes blocks.
    pub mode: MiningModeView,
    /// How many threads search for work; 0 where the node makes no blocks.
    pub threads: u16,
    /// How many blocks were asked for and are made now.
    pub blocks: u32,
    /// The height of the tip.
    pub height: u64,
    /// The id of the tip.
    pub tip: Hash,
}

/// Asks a node what it logs, or tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogRequest {
    /// From now on, what is logged: a level (`off`, `error`, `warn`, `info`, `debug`, `trace`), or levels
    /// of modules, such as `info,cairn::run=trace`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
}

/// What a node logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogAnswer {
    /// The filter in force.
    #[schema(example = "info")]
    pub filter: String,
}

/// Asks the faucet of a development network for coins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FaucetRequest {
    /// Who receives.
    pub address: String,
    /// How much, in base units; 100 coins if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Units>,
}

/// What the faucet sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FaucetAnswer {
    /// The id of the transaction.
    pub id: Hash,
    /// Always `pending`.
    pub status: TransactionState,
    /// Who receives.
    pub address: String,
    /// How much.
    pub amount: Units,
}

/// The node is stopping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ShutdownAnswer {
    /// Always `stopping`.
    pub status: String,
}

/// Whether a node is ready for work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// Whether it is.
    pub ready: bool,
    /// Why it is not.
    pub reasons: Vec<String>,
}

/// The program runs and answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// Always `ok`.
    pub status: String,
}

/// A connected node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PeerView {
    /// Its peer id.
    pub id: String,
    /// The other end of the connection.
    pub address: String,
    /// Who dialled: `inbound` if it did, `outbound` if this node did.
    pub direction: String,
    /// What its owner calls it; it may be empty, and several may have one name.
    pub name: String,
    /// What it does: `full`, `miner`, `validator`, `light`, `tracker`.
    pub roles: Vec<String>,
    /// Its program and version, as it says.
    pub software: String,
    /// The height of the highest block that it is known to have; at first what its greeting says.
    pub height: u64,
    /// When the connection began, in milliseconds since 1970.
    pub since_ms: u64,
    /// How long it took to answer the newest sign of life, in milliseconds; none before the first.
    pub ping_ms: Option<u64>,
    /// By how many milliseconds its clock was ahead of this node's when the connection began; negative where it
    /// was behind.
    pub clock_offset_ms: i64,
    /// Bytes that came from it.
    pub bytes_in: u64,
    /// Bytes that went to it.
    pub bytes_out: u64,
}

/// An invite to the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InviteView {
    /// The invite: one text, for `cairn join`.
    pub invite: String,
    /// The network's name.
    pub network: String,
    /// The id of block 0, which names the network for certain.
    pub identity: Hash,
    /// The peer id of this node.
    pub id: String,
    /// The addresses in it, in the order in which they are tried.
    pub addresses: Vec<String>,
}

/// A node to which a link is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeptPeerView {
    /// Where it is: `HOST:PORT`, or `ID@HOST:PORT`.
    #[schema(example = "192.0.2.1:7700")]
    pub address: String,
    /// Whether it is connected now.
    pub connected: bool,
    /// How often in a row it could not be reached.
    pub failures: u32,
    /// Why, the last time; none if it was reached.
    pub last_failure: Option<String>,
}

/// A ban.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BanView {
    /// Who is banned: a peer id, or an IP address, which for IPv6 stands for its /64.
    #[schema(example = "192.0.2.7")]
    pub who: String,
    /// When it ends, in milliseconds since 1970.
    pub until_ms: u64,
}

/// Tells a node whom to meet: exactly one of `add`, `remove`, `ban` and `unban`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PeersRequest {
    /// Keep a link to this node from now on: `HOST:PORT`, or `ID@HOST:PORT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub add: Option<String>,
    /// Keep none to this one any more, and end it; a peer id ends the link alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remove: Option<String>,
    /// Ban a node by its peer id, or a machine by its IP address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ban: Option<String>,
    /// Lift a ban.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unban: Option<String>,
    /// How long a ban lasts, in seconds: 86,400 if nothing is said, at most 315,360,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

/// Whom a node is told to meet, after a [`PeersRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PeersAnswer {
    /// Nodes to which a link is kept.
    pub kept: Vec<KeptPeerView>,
    /// Who is banned.
    pub bans: Vec<BanView>,
}

/// News, as the `data` of a server-sent event; the event's name is the tag `type`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum EventView {
    /// The chain has a new block.
    Block {
        /// Its height.
        height: u64,
        /// Its id.
        id: Hash,
        /// Its parent.
        parent: Hash,
        /// When its producer says it was made, in milliseconds since 1970.
        time_ms: u64,
        /// Who got fees and reward.
        producer: String,
        /// How many transactions it holds.
        transaction_count: u32,
    },
    /// The chain left some of its blocks for others; `block` events of the new ones follow.
    Reorg {
        /// The height of the highest block that stayed.
        fork_height: u64,
        /// The tip before.
        from: Hash,
        /// The tip after.
        to: Hash,
        /// How many blocks left the chain.
        depth: u64,
        /// The ids of the blocks that left, from the fork up, at most 1,000.
        disconnected: Vec<Hash>,
        /// The ids of the blocks that joined, from the fork up, at most 1,000.
        connected: Vec<Hash>,
    },
    /// A transaction came to wait, or into a block.
    Transaction {
        /// Its id.
        id: Hash,
        /// How far it has come.
        status: TransactionState,
        /// The height of its block; none while it waits.
        height: Option<u64>,
        /// The id of its block; none while it waits.
        block: Option<Hash>,
    },
    /// A transaction left the mempool without a block.
    Mempool {
        /// Its id.
        id: Hash,
        /// Why it left: `expired`, `displaced`, `replaced`, `nonce-used`, `beyond-gap` or
        /// `too-many-from-sender`.
        #[schema(example = "expired")]
        reason: String,
    },
    /// A peer came or went.
    Peer {
        /// Its peer id.
        id: String,
        /// Whether it is connected now.
        connected: bool,
    },
    /// The node is further with what it knows of.
    Sync {
        /// How far it is.
        sync: SyncView,
    },
    /// Blocks became final.
    Finality {
        /// The height up to which blocks are final.
        height: u64,
        /// The id of that block.
        id: Hash,
    },
    /// Events are missing between what the client asked for and what follows: it reads the
    /// resources anew and goes on from `next`.
    Reset {
        /// Why: `too-old`, `unknown-id` or `slow`.
        reason: String,
        /// The id of the next event.
        next: u64,
    },
}

impl EventView {
    /// The name of the event, as in its tag.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Block { .. } => "block",
            Self::Reorg { .. } => "reorg",
            Self::Transaction { .. } => "transaction",
            Self::Mempool { .. } => "mempool",
            Self::Peer { .. } => "peer",
            Self::Sync { .. } => "sync",
            Self::Finality { .. } => "finality",
            Self::Reset { .. } => "reset",
        }
    }
}

/// The first line of `cairn devnet --json`, written once every node answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevnetReady {
    /// Always true.
    pub ready: bool,
    /// The network's name.
    pub network: String,
    /// The id of block 0.
    pub identity: Hash,
    /// The nodes.
    pub nodes: Vec<DevnetNode>,
    /// The published development accounts.
    pub accounts: Vec<DevnetAccount>,
    /// The file that holds the token of all nodes.
    pub token_file: String,
    /// Where everything is kept.
    pub data_dir: String,
}

/// A node of a development network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevnetNode {
    /// Its name.
    pub name: String,
    /// What it does.
    pub role: String,
    /// The address of its HTTP interface.
    pub api: String,
    /// Where it meets the others.
    pub p2p: Option<String>,
}

/// A published development account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevnetAccount {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// What it owns.
    pub balance: Units,
}

/// Which page of a list of blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct BlocksQuery {
    /// Only blocks below this height.
    #[serde(default, deserialize_with = "text::query_number", skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// How many at most: 1 to 1,000, 20 if left out.
    #[serde(default, deserialize_with = "text::query_number", skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// How much of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct BlockQuery {
    /// Whether the transactions come whole rather than as ids.
    #[serde(default)]
    pub full: bool,
}

/// When an account is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AccountQuery {
    /// After the block at this height rather than now.
    #[serde(default, deserialize_with = "text::query_number", skip_serializing_if = "Option::is_none")]
    pub at: Option<u64>,
}

/// Which page of an account's history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// Only what is before this cursor (`height.place`), or before this height.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// How many at most: 1 to 1,000, 20 if left out.
    #[serde(default, deserialize_with = "text::query_number", skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Which part of the mempool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MempoolQuery {
    /// Only what this account sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Only what came before the entry with this cursor.
    #[serde(default, deserialize_with = "text::query_number", skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// How many at most: 1 to 1,000, 100 if left out.
    #[serde(default, deserialize_with = "text::query_number", skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// From where on events are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// Only events behind the one with this id; the header `Last-Event-ID` goes before it.
    #[serde(default, deserialize_with = "text::query_number", skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}
