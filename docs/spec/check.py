#!/usr/bin/env python3
"""Recomputes every vector of docs/spec from the pages alone.

Needs nothing but Python 3 and its standard library. Prints one line a file and exits with 1 if
anything differs. Shares no code with Cairn, and is no node: it is slow, and says plainly what the
pages say. The number in a comment is the page that a part was written from.
"""

import base64
import hashlib
import hmac
import ipaddress
import json
import pathlib
import re
import sys
import unicodedata
import urllib.parse

try:
    import tomllib
except ImportError:  # before Python 3.11: the examples' files are not read, their bytes are
    tomllib = None

VECTORS = pathlib.Path(__file__).resolve().parent / "vectors"
ZERO = bytes(32)
U64_MAX = 2**64 - 1
U256_MAX = 2**256 - 1


class Refused(Exception):
    """A value breaks the rule with this number."""

    def __init__(self, rule):
        super().__init__(rule)
        self.rule = rule


def require(condition, rule):
    if not condition:
        raise Refused(rule)


def rule_of(action):
    """The rule that an action breaks, or None."""
    try:
        action()
    except Refused as refused:
        return refused.rule
    return None


def sha256(data):
    return hashlib.sha256(data).digest()


# ---- 01 Bytes ------------------------------------------------------------------------------------

TAGS = {
    "TRANSACTION": b"cairn/tx/1",
    "WITNESS": b"cairn/witness/1",
    "LEAF": b"cairn/leaf/1",
    "TX_NODE": b"cairn/txnode/1",
    "ADDRESS": b"cairn/address/1",
    "PATH": b"cairn/path/1",
    "RESERVED_PATH": b"cairn/reserved/1",
    "STATE_LEAF": b"cairn/state/1",
    "STATE_NODE": b"cairn/node/1",
    "HEADER": b"cairn/header/1",
    "EXTRA": b"cairn/extra/1",
    "CERTIFICATE": b"cairn/certificate/1",
    "SEAL": b"cairn/seal/1",
    "VOTE": b"cairn/vote/1",
    "HISTORY_LEAF": b"cairn/history/leaf/1",
    "HISTORY_NODE": b"cairn/history/node/1",
    "HISTORY_ROOT": b"cairn/history/root/1",
    "SHORT_ID": b"cairn/shortid/1",
}


def tag(name):
    return TAGS[name] + b"\0"


def H(name, *parts):
    return sha256(tag(name) + b"".join(parts))


def u(bits, number):
    return int(number).to_bytes(bits // 8, "little")


def byte_string(data):
    return u(32, len(data)) + data


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def left(self):
        return len(self.data) - self.at

    def take(self, count):
        require(count <= self.left(), "BYT-1")
        self.at += count
        return self.data[self.at - count : self.at]

    def u(self, bits):
        return int.from_bytes(self.take(bits // 8), "little")

    def bool(self):
        byte = self.u(8)
        require(byte <= 1, "BYT-4")
        return byte == 1

    def count(self, limit, item_bytes_min):
        found = self.u(32)
        require(found <= limit, "BYT-3")
        require(found * item_bytes_min <= self.left(), "BYT-1")
        return found

    def bytes(self, limit):
        return self.take(self.count(limit, 1))

    def text(self, limit):
        data = self.bytes(limit)
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            raise Refused("BYT-5") from None

    def finish(self):
        require(self.left() == 0, "BYT-2")


def read_exactly(read, data):
    reader = Reader(data)
    value = read(reader)
    reader.finish()
    return value


# ---- 02 Keys -------------------------------------------------------------------------------------

SCHEMES = {"ed25519": 1, "secp256k1": 2, "rsa-pss-sha256": 3, "ml-dsa-44": 4, "multisig": 16}
VERIFY_WEIGHT = {1: 20, 2: 18, 3: 22, 4: 16}

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
SQRT_MINUS_ONE = pow(2, (P - 1) // 4, P)


def point_add(p, q):
    a = (p[1] - p[0]) * (q[1] - q[0]) % P
    b = (p[1] + p[0]) * (q[1] + q[0]) % P
    c = 2 * p[3] * q[3] * D % P
    d = 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def point_multiply(scalar, point):
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = point_add(result, point)
        point = point_add(point, point)
        scalar >>= 1
    return result


def point_from_bytes(data):
    """ZIP-215: any y of 255 bits, and the sign may be set where x is zero. None if not on the curve."""
    number = int.from_bytes(data, "little")
    y, sign = (number & (2**255 - 1)) % P, number >> 255
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * SQRT_MINUS_ONE % P
    if x * x % P != square:
        return None
    if x & 1 != sign:
        x = -x % P
    return (x, y, 1, x * y % P)


BASE = point_from_bytes((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def ed25519_verify(key, signature, message):
    if len(key) != 32 or len(signature) != 64:
        return False
    a, r = point_from_bytes(key), point_from_bytes(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= L:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    minus_a = (-a[0] % P, a[1], a[2], -a[3] % P)
    minus_r = (-r[0] % P, r[1], r[2], -r[3] % P)
    difference = point_add(point_add(point_multiply(s, BASE), point_multiply(k, minus_a)), minus_r)
    x, y, z, _ = point_multiply(8, difference)
    return x == 0 and y == z


def read_scheme(reader):
    scheme = reader.u(8)
    require(scheme in SCHEMES.values(), "BYT-4")
    return scheme


def read_key(reader, scheme):
    """The bytes of a public key; of a multisig key also its parts."""
    start = reader.at
    parts = None
    if scheme == 1:
        reader.take(32)
    elif scheme == 2:
        reader.take(33)
    elif scheme == 3:
        reader.bytes(398)
    elif scheme == 4:
        reader.take(1312)
    else:
        threshold = reader.u(8)
        count = reader.u(8)
        require(count <= 16, "BYT-3")
        require(1 <= threshold <= count, "BYT-5")
        members, previous = [], b""
        for _ in range(count):
            begin = reader.at
            member = read_scheme(reader)
            require(member != 16, "BYT-5")
            read_key(reader, member)
            encoding = reader.data[begin : reader.at]
            require(encoding > previous, "BYT-5")
            previous = encoding
            members.append(member)
        parts = (threshold, members)
    return reader.data[start : reader.at], parts


def read_signature(reader, scheme):
    if scheme == 3:
        return reader.bytes(384)
    return reader.take(2420 if scheme == 4 else 64)


def read_witness(reader):
    start = reader.at
    scheme = read_scheme(reader)
    key, parts = read_key(reader, scheme)
    if scheme == 16:
        threshold, members = parts
        signature, last, verify_weight = None, -1, 0
        for _ in range(threshold):
            position = reader.u(8)
            require(last < position < len(members), "BYT-5")
            last = position
            read_signature(reader, members[position])
            verify_weight += VERIFY_WEIGHT[members[position]]
    else:
        signature = read_signature(reader, scheme)
        verify_weight = VERIFY_WEIGHT[scheme]
    return {
        "scheme": scheme,
        "key": key,
        "signature": signature,
        "verify_weight": verify_weight,
        "bytes": reader.data[start : reader.at],
        "address": address_of(scheme, key),
    }


def read_public_key(reader):
    scheme = read_scheme(reader)
    return scheme, read_key(reader, scheme)[0]


def address_of(scheme, key):
    return H("ADDRESS", u(8, scheme), key)


DIGITS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
BECH32M = 0x2BC830A3


def polymod(values):
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= generator if top >> bit & 1 else 0
    return check


def expand_prefix(prefix):
    return [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]


def bech32m_encode(prefix, data):
    number, spare = int.from_bytes(data, "big"), -len(data) * 8 % 5
    count = (len(data) * 8 + spare) // 5
    values = [(number << spare) >> 5 * (count - 1 - i) & 31 for i in range(count)]
    check = polymod(expand_prefix(prefix) + values + [0] * 6) ^ BECH32M
    values += [check >> 5 * (5 - i) & 31 for i in range(6)]
    return prefix + "1" + "".join(DIGITS[value] for value in values)


def bech32m_decode(text):
    """Prefix and digits, or None for what is no bech32 text; then whether the checksum holds."""
    if text != text.lower() and text != text.upper():
        return None
    text = text.lower()
    prefix, separator, rest = text.rpartition("1")
    well_formed = separator and 1 <= len(prefix) <= 83 and len(rest) >= 6
    if not well_formed or not all(33 <= ord(c) <= 126 for c in prefix) or not all(c in DIGITS for c in rest):
        return None
    values = [DIGITS.index(c) for c in rest]
    return prefix, values[:-6], polymod(expand_prefix(prefix) + values) == BECH32M


def address_from_text(text, expected_prefix):
    decoded = bech32m_decode(text)
    require(decoded is not None, "ADR-1")
    prefix, values, holds = decoded
    require(holds, "ADR-2")
    require(prefix == expected_prefix, "ADR-3")
    number = 0
    for value in values:
        number = number << 5 | value
    require(len(values) == 52 and number & 15 == 0, "ADR-4")
    return (number >> 4).to_bytes(32, "big")


# ---- 03 State ------------------------------------------------------------------------------------


def account_path(address):
    return H("PATH", address)


def account_value(balance, nonce):
    return b"\x01" + u(64, balance) + u(64, nonce)


def read_state_value(data):
    require(len(data) <= 65536, "BYT-3")
    reader = Reader(data)
    kind = reader.u(8)
    require(kind in (1, 2), "BYT-4")
    if kind == 1:
        reader.take(16)
        reader.finish()
    return data


def bit(path, depth):
    return path[depth // 8] >> (7 - depth % 8) & 1


def state_root(entries, depth=0):
    """The hash of the subtree at a depth that holds exactly these entries, a list of (path, value)."""
    if not entries:
        return ZERO
    if len(entries) == 1:
        return H("STATE_LEAF", *entries[0])
    sides = [[entry for entry in entries if bit(entry[0], depth) == side] for side in (0, 1)]
    return H("STATE_NODE", state_root(sides[0], depth + 1), state_root(sides[1], depth + 1))


def state_proof(entries, path):
    """The siblings from the root down, and the entry at the end or None."""
    siblings, depth = [], 0
    while len(entries) > 1:
        side = bit(path, depth)
        siblings.append(state_root([e for e in entries if bit(e[0], depth) != side], depth + 1))
        entries = [e for e in entries if bit(e[0], depth) == side]
        depth += 1
    return siblings, entries[0] if entries else None


def state_proof_bytes(siblings, end):
    head = u(32, len(siblings)) + b"".join(siblings)
    return head + (b"\0" if end is None else b"\1" + end[0] + byte_string(end[1]))


def read_state_proof(reader):
    siblings = [reader.take(32) for _ in range(reader.count(256, 32))]
    kind = reader.u(8)
    require(kind <= 1, "BYT-4")
    return siblings, (reader.take(32), reader.bytes(65536)) if kind else None


def verify_state_proof(siblings, end, root, path):
    require(len(siblings) <= 256, "STA-3")
    found = ZERO
    if end is not None:
        shared = next((depth for depth in range(256) if bit(path, depth) != bit(end[0], depth)), 256)
        require(shared >= len(siblings), "STA-2")
        found = H("STATE_LEAF", *end)
    for depth in reversed(range(len(siblings))):
        pair = (siblings[depth], found) if bit(path, depth) else (found, siblings[depth])
        found = H("STATE_NODE", *pair)
    require(found == root, "STA-1")
    if end is None or end[0] != path:
        return None
    require(rule_of(lambda: read_state_value(end[1])) is None, "STA-4")
    return end[1]


# ---- 04 Validity ---------------------------------------------------------------------------------


def body_bytes(body):
    transfers = b"".join(to + u(64, amount) for to, amount in body["transfers"])
    return (
        u(8, body["version"])
        + u(64, body["nonce"])
        + u(64, body["valid_until"])
        + u(64, body["max_fee_rate"])
        + u(64, body["tip_rate"])
        + u(32, len(body["transfers"]))
        + transfers
        + byte_string(body["data"])
    )


def read_transaction(reader):
    start = reader.at
    body = {"version": reader.u(8)}
    for field in ("nonce", "valid_until", "max_fee_rate", "tip_rate"):
        body[field] = reader.u(64)
    body["transfers"] = [(reader.take(32), reader.u(64)) for _ in range(reader.count(256, 40))]
    body["data"] = reader.bytes(65536)
    middle = reader.at
    witness = read_witness(reader)
    return {
        "body": body,
        "witness": witness,
        "body_bytes": reader.data[start:middle],
        "bytes": reader.data[start : reader.at],
        "sender": witness["address"],
    }


def describe(transaction, identity):
    """Adds what follows from the bytes of a transaction."""
    body, witness = transaction["body"], transaction["witness"]
    transaction["id"] = H("TRANSACTION", identity, transaction["sender"], transaction["body_bytes"])
    transaction["witness_hash"] = H("WITNESS", witness["bytes"])
    transaction["leaf"] = H("LEAF", transaction["id"], transaction["witness_hash"])
    more = max(len(body["transfers"]) - 1, 0)
    transaction["weight"] = len(transaction["bytes"]) + witness["verify_weight"] + 100 * more
    transaction["amount"] = sum(amount for _, amount in body["transfers"])
    return transaction


def fees_of(transaction, base_fee):
    body = transaction["body"]
    require(body["max_fee_rate"] >= base_fee, "TX-11")
    tip_rate = min(body["tip_rate"], body["max_fee_rate"] - base_fee)
    return transaction["weight"] * base_fee, transaction["weight"] * tip_rate


def check_transaction_form(transaction, section):
    body = transaction["body"]
    require(body["version"] == 1, "TX-1")
    require(len(transaction["bytes"]) <= section["transaction_bytes"], "TX-2")
    require(1 <= len(body["transfers"]) <= section["transfers"], "TX-4")
    require(all(amount > 0 for _, amount in body["transfers"]), "TX-5")
    greatest_fee = transaction["weight"] * body["max_fee_rate"]
    require(transaction["amount"] + greatest_fee <= U64_MAX, "TX-6")
    require(len(body["data"]) <= section["data_bytes"], "TX-7")
    enabled = [SCHEMES[name] for name in section["schemes"]]
    require(transaction["witness"]["scheme"] in enabled, "TX-8")
    require(body["nonce"] < U64_MAX, "TX-14")


def check_signature(transaction):
    witness = transaction["witness"]
    require(ed25519_verify(witness["key"], witness["signature"], transaction["id"]), "TX-9")


def apply_transaction(accounts, transaction, height, base_fee, reserve):
    """Changes accounts, a dict from path to (balance, nonce); returns base part and tip."""
    body = transaction["body"]
    sender = account_path(transaction["sender"])
    balance, nonce = accounts.get(sender, (0, 0))
    require(body["valid_until"] == 0 or height <= body["valid_until"], "TX-10")
    require(body["nonce"] == nonce, "TX-3")
    base, tip = fees_of(transaction, base_fee)
    needed = transaction["amount"] + base + tip
    require(balance >= needed, "TX-12")
    after = {sender: (balance - needed, nonce + 1)}
    for to, amount in body["transfers"]:
        path = account_path(to)
        held, its_nonce = after.get(path) or accounts.get(path, (0, 0))
        after[path] = (held + amount, its_nonce)
    require(all(held >= reserve for held, _ in after.values()), "TX-13")
    accounts.update(after)
    return base, tip


def split(count):
    """The largest power of two below a count."""
    return 1 << (count - 1).bit_length() - 1


def tx_root(leaves):
    if not leaves:
        return ZERO
    if len(leaves) == 1:
        return leaves[0]
    k = split(len(leaves))
    return H("TX_NODE", tx_root(leaves[:k]), tx_root(leaves[k:]))


def tx_siblings(leaves, index):
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if index < k:
        return tx_siblings(leaves[:k], index) + [tx_root(leaves[k:])]
    return tx_siblings(leaves[k:], index - k) + [tx_root(leaves[:k])]


def tx_proof_bytes(index, count, siblings):
    return u(32, index) + u(32, count) + u(32, len(siblings)) + b"".join(siblings)


def read_tx_proof(reader):
    index, count = reader.u(32), reader.u(32)
    return index, count, [reader.take(32) for _ in range(reader.count(32, 32))]


def verify_tx_proof(index, count, siblings, leaf, root):
    require(index < count, "MRK-1")
    partners, place, width = [], index, count
    while width > 1:
        partners.append(place ^ 1 < width)
        place, width = place // 2, (width + 1) // 2
    require(len(siblings) == sum(partners), "MRK-2")
    found, rest, place = leaf, list(siblings), index
    for has_partner in partners:
        if has_partner:
            sibling = rest.pop(0)
            found = H("TX_NODE", sibling, found) if place % 2 else H("TX_NODE", found, sibling)
        place //= 2
    require(found == root, "MRK-3")


def plain_rewards(section, height):
    """The sum of the plain rewards of the blocks 1 to height, era by era."""
    initial, every, tail = section["initial"], section["halving_every"], section["tail"]
    if every == 0:
        return height * max(initial, tail)
    total, era = 0, 0
    while height > 0 and era < 64:
        blocks = min(height, every)
        total += blocks * max(initial >> era, tail)
        height -= blocks
        era += 1
    return total + height * tail


def issued(section, height):
    return min(plain_rewards(section, height), section["cap"] or U64_MAX)


def reward(section, height):
    return issued(section, height) - issued(section, height - 1) if height > 0 else 0


def next_base_fee(section, base, used):
    floor = section["floor"]
    if not section["moving"]:
        return floor
    t = max(section["block_weight"] // 2, 1)
    following = base * (7 * t + used) // (8 * t)
    if used > t:
        following = max(following, base + 1)
    return max(min(following, U64_MAX), floor)


# ---- 05 Genesis: the consensus section -----------------------------------------------------------

MODES = {"pow": 1, "pow+permit": 2, "bft": 3, "pow+finality": 4}


def section_bytes(s):
    mode = u(8, MODES[s["mode"]["name"]])
    if s["mode"]["name"] != "pow":
        mode += u(32, len(s["authorities"])) + b"".join(s["authorities"])
    if s["mode"]["name"] == "pow+permit":
        mode += u(8, s["mode"]["turns"])
    if s["mode"]["name"] == "pow+finality":
        mode += u(32, s["mode"]["checkpoint_interval"]) + u(32, s["mode"]["checkpoint_depth"])
    return b"".join(
        [
            u(16, 1),
            u(32, s["id"]),
            byte_string(s["name"].encode()),
            byte_string(s["symbol"].encode()),
            u(8, s["decimals"]),
            byte_string(s["prefix"].encode()),
            u(32, s["coin_type"]),
            u(8, s["devnet"]),
            mode,
            u(64, s["interval_ms"]),
            u(64, s["half_life_ms"]),
            u(32, s["first_target"]),
            u(32, s["target_limit"]),
            u(64, s["initial"]),
            u(64, s["halving_every"]),
            u(64, s["tail"]),
            u(64, s["cap"]),
            u(32, s["maturity"]),
            u(64, s["floor"]),
            u(8, s["moving"]),
            u(8, s["burn"]),
            u(32, s["transaction_bytes"]),
            u(32, s["data_bytes"]),
            u(32, s["transfers"]),
            u(64, s["block_weight"]),
            u(32, s["block_transactions"]),
            u(32, s["extra_bytes"]),
            u(64, s["reserve"]),
            u(32, len(s["schemes"])) + bytes(SCHEMES[name] for name in s["schemes"]),
        ]
    )


def read_section(reader):
    s = {}
    require(reader.u(16) == 1, "BYT-5")
    s["id"], s["name"], s["symbol"] = reader.u(32), reader.text(64), reader.text(12)
    s["decimals"], s["prefix"] = reader.u(8), reader.text(16)
    lower = all(c in "abcdefghijklmnopqrstuvwxyz0123456789" for c in s["prefix"])
    require(s["prefix"] and lower and not s["prefix"][0].isdigit(), "BYT-5")
    s["coin_type"], s["devnet"] = reader.u(32), reader.bool()
    number = reader.u(8)
    require(number in MODES.values(), "BYT-4")
    mode = {"name": next(name for name in MODES if MODES[name] == number)}
    s["mode"], s["authorities"] = mode, []
    if number != 1:
        s["authorities"] = [reader.take(32) for _ in range(reader.count(1024, 32))]
    if number == 2:
        mode["turns"] = reader.bool()
    if number == 4:
        mode["checkpoint_interval"], mode["checkpoint_depth"] = reader.u(32), reader.u(32)
    for field in ("interval_ms", "half_life_ms"):
        s[field] = reader.u(64)
    for field in ("first_target", "target_limit"):
        s[field] = reader.u(32)
    for field in ("initial", "halving_every", "tail", "cap"):
        s[field] = reader.u(64)
    s["maturity"], s["floor"], s["moving"], s["burn"] = reader.u(32), reader.u(64), reader.bool(), reader.bool()
    for field in ("transaction_bytes", "data_bytes", "transfers"):
        s[field] = reader.u(32)
    s["block_weight"], s["block_transactions"] = reader.u(64), reader.u(32)
    s["extra_bytes"], s["reserve"] = reader.u(32), reader.u(64)
    numbers = []
    for _ in range(reader.count(5, 1)):
        numbers.append(read_scheme(reader))
        require(numbers == sorted(set(numbers)), "BYT-5")
    s["schemes"] = [name for name in SCHEMES if SCHEMES[name] in numbers]
    return s


def read_genesis(reader):
    """What peers hand out: section, allocations and block 0."""
    section, allocations = read_section(reader), []
    for _ in range(reader.count(1_000_000, 48)):
        address, balance, nonce = reader.take(32), reader.u(64), reader.u(64)
        require(not allocations or allocations[-1][0] < address, "BYT-5")
        allocations.append((address, balance, nonce))
    first = {"time_ms": reader.u(64), "producer": reader.take(32), "reward": reader.u(64)}
    first["target"], nonce = reader.u(32), reader.u(64)
    return section, allocations, first, nonce


def authority_value(section):
    return b"\x02" + u(32, len(section["authorities"])) + b"".join(section["authorities"])


def genesis_state(section, allocations, first):
    """Accounts as a dict from path to (balance, nonce), and the other entries."""
    accounts = {account_path(address): (balance, nonce) for address, balance, nonce in allocations}
    if first["reward"] > 0:
        balance, nonce = accounts.get(account_path(first["producer"]), (0, 0))
        accounts[account_path(first["producer"])] = (balance + first["reward"], nonce)
    reserved = []
    if section["authorities"]:
        reserved.append((H("RESERVED_PATH", b"authorities"), authority_value(section)))
    return accounts, reserved


def genesis_header(section, allocations, first):
    accounts, reserved = genesis_state(section, allocations, first)
    entries = [(path, account_value(*account)) for path, account in accounts.items()]
    return {
        "version": 1, "height": 0, "time_ms": first["time_ms"], "parent": ZERO, "tx_count": 0, "tx_root": ZERO,
        "state_root": state_root(entries + reserved), "history_root": ZERO, "prev_seal": ZERO,
        "producer": first["producer"], "target": first["target"], "base_fee": section["floor"],
        "weight_used": 0, "extra_hash": H("EXTRA", section_bytes(section)),
    }  # fmt: skip


def genesis_block(section, header, nonce):
    body = b"\0" + u(32, 0) + byte_string(section_bytes(section))
    return header_bytes(header) + body + b"\x01" + u(64, nonce)


UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def genesis_of_file(file):
    """Section, allocations, block 0 and work nonce (or None) of a file that TOML has read."""

    def table(name):
        return file.get(name, {})

    def duration(text):
        digits = "".join(c for c in text if c.isdigit())
        return int(digits) * UNITS[text[len(digits) :]]

    def amount(text):
        whole, _, part = text.partition(".")
        return int(whole + part.ljust(decimals, "0"))

    def target(settings, name, default):
        if f"{name}target" in settings:
            return int(settings[f"{name}target"], 16)
        if f"{name}work" in settings:
            return compact(U256_MAX // settings[f"{name}work"])
        return default

    network, consensus, block = table("network"), table("consensus"), table("block")
    difficulty, rewards, fees = table("difficulty"), table("reward"), table("fees")
    limits, beginning = table("transactions"), table("genesis_block")
    decimals, prefix = network.get("decimals", 8), network.get("address_prefix", "cairn")
    name = consensus.get("mode", "pow")
    mode = {"name": name}
    if name == "pow+permit":
        mode["turns"] = consensus.get("turns", False)
    if name == "pow+finality":
        mode["checkpoint_interval"] = consensus.get("checkpoint_interval", 10)
        mode["checkpoint_depth"] = consensus.get("checkpoint_depth", 3)
    interval = duration(block.get("interval", "10s"))
    half_life = duration(difficulty["half_life"]) if "half_life" in difficulty else 60 * interval
    first_target = target(difficulty, "first_", compact(U256_MAX // 65536))
    easiest = min(expand(first_target) * difficulty.get("limit_factor", 16), U256_MAX)
    limit = int(difficulty["limit"], 16) if "limit" in difficulty else compact(easiest)
    devnet = network.get("devnet", False)
    transaction_bytes = limits.get("bytes_max", 65536)
    section = {
        "id": network.get("id", 0), "name": network["name"], "symbol": network.get("symbol", "COIN"),
        "decimals": decimals, "prefix": prefix, "coin_type": network.get("coin_type", 1), "devnet": devnet,
        "mode": mode,
        "authorities": [hexed(key) for key in consensus.get("miners", consensus.get("validators", []))],
        "interval_ms": interval, "half_life_ms": 0 if difficulty.get("mode") == "fixed" else half_life,
        "first_target": first_target, "target_limit": limit,
        "initial": amount(rewards.get("initial", "0")), "halving_every": rewards.get("halving_every", 0),
        "tail": amount(rewards.get("tail", "0")), "cap": amount(rewards.get("cap", "0")),
        "maturity": rewards.get("maturity", 0 if devnet else 20),
        "floor": fees.get("floor", 1), "moving": fees.get("moving", False), "burn": fees.get("burn", False),
        "transaction_bytes": transaction_bytes,
        "data_bytes": limits.get("data_bytes_max", min(1024, transaction_bytes)),
        "transfers": limits.get("transfers_max", 256), "block_weight": block.get("weight_max", 1_048_576),
        "block_transactions": block.get("transactions_max", 5_000),
        "extra_bytes": block.get("extra_bytes_max", 1_024), "reserve": amount(limits.get("reserve", "0")),
        "schemes": sorted(limits.get("schemes", ["ed25519"]), key=SCHEMES.get),
    }  # fmt: skip
    allocations = sorted(
        (address_from_text(it["address"], prefix), amount(it["balance"]), it.get("nonce", 0))
        for it in file.get("allocation", [])
    )
    time = beginning.get("time", 1_767_225_600_000)
    producer = beginning.get("producer")
    first = {
        "time_ms": time if isinstance(time, int) else round(time.timestamp() * 1000),
        "producer": address_from_text(producer, prefix) if producer else ZERO,
        "reward": amount(beginning.get("reward", "0")),
        "target": target(beginning, "", first_target),
    }
    allocated = sum(balance for _, balance, _ in allocations) + first["reward"]
    if "cap" not in rewards and allocated + issued(section, U64_MAX) > U64_MAX:
        section["cap"] = U64_MAX - allocated
    return section, allocations, first, beginning.get("work_nonce")


# ---- 06 Consensus --------------------------------------------------------------------------------

HEADER = [
    ("version", 16), ("height", 64), ("time_ms", 64), ("parent", None), ("tx_count", 32), ("tx_root", None),
    ("state_root", None), ("history_root", None), ("prev_seal", None), ("producer", None), ("target", 32),
    ("base_fee", 64), ("weight_used", 64), ("extra_hash", None),
]  # fmt: skip


def header_bytes(header):
    return b"".join(header[field] if bits is None else u(bits, header[field]) for field, bits in HEADER)


def read_header(reader):
    return {field: reader.take(32) if bits is None else reader.u(bits) for field, bits in HEADER}


def seal_hash(header):
    return H("HEADER", header_bytes(header))


def block_id(seal, nonce):
    return sha256(sha256(seal + u(64, nonce)))


def read_certificate(reader):
    start = reader.at
    certificate = {"height": reader.u(64), "round": reader.u(32), "id": reader.take(32)}
    certificate["signers"] = reader.bytes(128)
    require(not certificate["signers"].endswith(b"\0"), "BYT-5")
    count = sum(bin(byte).count("1") for byte in certificate["signers"])
    certificate["signatures"] = [reader.take(64) for _ in range(count)]
    certificate["bytes"] = reader.data[start : reader.at]
    return certificate


def read_body(reader):
    start = reader.at
    certificate = read_certificate(reader) if reader.bool() else None
    transactions = [read_transaction(reader) for _ in range(reader.count(2**24 // 178, 178))]
    extra = reader.bytes(65536)
    return {
        "certificate": certificate,
        "transactions": transactions,
        "extra": extra,
        "bytes": reader.data[start : reader.at],
    }


def read_seal(reader):
    start = reader.at
    kind = reader.u(8)
    require(1 <= kind <= 3, "BYT-4")
    seal = {"kind": ("work", "permit", "certificate")[kind - 1], "nonce": 0}
    if kind == 3:
        seal["certificate"] = read_certificate(reader)
    else:
        seal["nonce"] = reader.u(64)
    if kind == 2:
        seal["signature"] = reader.take(64)
    seal["bytes"] = reader.data[start : reader.at]
    return seal


def read_block(reader):
    return {"header": read_header(reader), "body": read_body(reader), "seal": read_seal(reader)}


def expand(bits):
    """The value of a compact target, or None if it is not canonical."""
    length, digits = bits >> 24, bits & 0x7FFFFF
    value = digits << 8 * (length - 3) if length >= 3 else digits >> 8 * (3 - length)
    if bits & 0x800000 or not 1 <= value <= U256_MAX or compact(value) != bits:
        return None
    return value


def compact(value):
    length = (value.bit_length() + 7) // 8
    digits = value >> 8 * (length - 3) if length >= 3 else value << 8 * (3 - length)
    if digits & 0x800000:
        digits, length = digits >> 8, length + 1
    return length << 24 | digits


def work(target):
    return 2**256 // (target + 1)


def next_target(interval, half_life, limit, target, solve_time):
    e = 65536 * (min(solve_time, 2 * half_life) - interval) // half_life
    s, f = e >> 16, e & 0xFFFF
    m = 65536 + ((195766423245049 * f + 971821376 * f**2 + 5127 * f**3 + 2**47) >> 48)
    # ⌊target · m · 2^(s − 16)⌋; beyond 2^1000 the shift is cut short, because the limit is below.
    shift = min(s - 16, 1000)
    value = target * m << shift if shift >= 0 else target * m >> -shift
    return compact(max(min(value, limit), 1))


def target_after(section, header, parent_time):
    if header["height"] == 0 or section["half_life_ms"] == 0:
        return section["first_target"]
    limit, target = expand(section["target_limit"]), expand(header["target"])
    solve_time = header["time_ms"] - parent_time
    return next_target(section["interval_ms"], section["half_life_ms"], limit, target, solve_time)


def leaves_tip(candidate, tip, tip_block):
    return candidate - tip > tip_block // 2


def in_turn(section, producer, height):
    keys = section["authorities"]
    return address_of(1, keys[height % len(keys)]) == producer


def takes_turns(section):
    return section["mode"]["name"] == "pow+permit" and section["mode"]["turns"]


def allowance(section, header):
    if takes_turns(section) and not in_turn(section, header["producer"], header["height"]):
        return 0
    return min(max(2 * section["interval_ms"], 15000), 120000)


def check_alone(data, section, identity):
    """Steps 1 to 5 of 04: the block and its id."""
    require(len(data) <= 2**24 and rule_of(lambda: read_exactly(read_block, data)) is None, "BLK-1")
    block = read_exactly(read_block, data)
    header, body, seal = block["header"], block["body"], block["seal"]
    block["id"] = block_id(seal_hash(header), seal["nonce"])
    require(header["version"] == 1, "HDR-1")
    require(header["weight_used"] <= section["block_weight"], "HDR-7")
    require(header["tx_count"] <= section["block_transactions"], "HDR-8")
    require(header["prev_seal"] == ZERO, "HDR-9")

    target = expand(header["target"])
    require(target is not None, "SEA-2")
    require(target <= expand(section["target_limit"]), "HDR-4")
    require(int.from_bytes(block["id"], "big") <= target, "SEA-3")
    permit = section["mode"]["name"] == "pow+permit"
    require(seal["kind"] == ("permit" if permit else "work"), "SEA-1")
    if permit:
        keys = [key for key in section["authorities"] if address_of(1, key) == header["producer"]]
        require(keys, "SEA-4")
        message = tag("SEAL") + identity + block["id"]
        require(ed25519_verify(keys[0], seal["signature"], message), "SEA-5")

    require(header["extra_hash"] == H("EXTRA", body["extra"]), "BLK-4")
    require(len(body["extra"]) <= section["extra_bytes"], "BLK-5")
    certificate = body["certificate"]
    expected = H("CERTIFICATE", certificate["bytes"]) if certificate else ZERO
    require(header["prev_seal"] == expected, "BLK-6")
    transactions = [describe(transaction, identity) for transaction in body["transactions"]]
    require(header["tx_count"] == len(transactions), "BLK-2")
    require(header["tx_root"] == tx_root([it["leaf"] for it in transactions]), "BLK-3")

    for transaction in transactions:
        check_transaction_form(transaction, section)
    for transaction in transactions:
        check_signature(transaction)
    require(header["weight_used"] == sum(it["weight"] for it in transactions), "BLK-7")
    return block


CONDEMNS_NOTHING = {"BLK-1", "BLK-2", "BLK-3", "BLK-4", "BLK-6", "SEA-1", "SEA-5"}


class Chain:
    """A chain that grows block by block; keeps the state of its tip alone."""

    def __init__(self, section, allocations, first, header, nonce):
        self.section = section
        self.accounts, self.reserved = genesis_state(section, allocations, first)
        self.identity = block_id(seal_hash(header), nonce)
        self.burned = 0
        self.allocated = sum(balance for balance, _ in self.accounts.values())
        self.producers, self.leaves, self.work = [], [], 0
        self.put_on_top(header, self.identity, header["time_ms"])

    def put_on_top(self, header, identity, parent_time):
        following = target_after(self.section, header, parent_time)
        summary = (1, work(expand(header["target"])), parent_time, header["time_ms"], header["target"], following)
        self.leaves.append(history_leaf(identity, summary))
        self.producers.append(header["producer"])
        self.work += summary[1]
        self.tip, self.tip_id, self.next_target = header, identity, following
        if header["height"] == 0:
            self.next_base_fee = self.section["floor"]
        else:
            self.next_base_fee = next_base_fee(self.section, header["base_fee"], header["weight_used"])

    def root(self):
        entries = [(path, account_value(*account)) for path, account in self.accounts.items()]
        return state_root(entries + self.reserved)

    def judge(self, data):
        """Refuses a block, or makes it the tip and returns it with what it moved."""
        section = self.section
        block = check_alone(data, section, self.identity)
        header = block["header"]
        assert header["parent"] == self.tip_id, "the vectors build on the tip"
        require(header["height"] == self.tip["height"] + 1, "HDR-2")
        require(header["time_ms"] > self.tip["time_ms"], "HDR-3")
        require(header["target"] == self.next_target, "HDR-4")
        require(header["base_fee"] == self.next_base_fee, "HDR-5")
        if takes_turns(section) and not in_turn(section, header["producer"], header["height"]):
            require(header["time_ms"] >= self.tip["time_ms"] + 2 * section["interval_ms"], "SEA-6")
        require(header["history_root"] == history_root(self.leaves), "HDR-6")

        before, height = dict(self.accounts), header["height"]
        try:
            base, tips = 0, 0
            for transaction in block["body"]["transactions"]:
                fees = apply_transaction(self.accounts, transaction, height, header["base_fee"], section["reserve"])
                base, tips = base + fees[0], tips + fees[1]
            burned = base if section["burn"] else 0
            self.credit(header["producer"], tips + base - burned)
            matured = height - section["maturity"]
            gain = reward(section, matured)
            if matured > 0:
                self.credit((self.producers + [header["producer"]])[matured], gain)
            supply = sum(balance for balance, _ in self.accounts.values())
            total = self.allocated + issued(section, max(matured, 0)) - self.burned - burned
            require(supply == total, "BLK-9")
            require(self.root() == header["state_root"], "BLK-8")
        except Refused:
            self.accounts = before
            raise
        self.burned += burned
        self.put_on_top(header, block["id"], self.tip["time_ms"])
        return block, {"fees": base + tips, "burned": burned, "reward": gain, "supply": supply}

    def credit(self, address, amount):
        if amount > 0:
            balance, nonce = self.accounts.get(account_path(address), (0, 0))
            self.accounts[account_path(address)] = (balance + amount, nonce)


# ---- 08 History ----------------------------------------------------------------------------------


def summary_bytes(summary):
    count, its_work, start_time, end_time, start_target, following = summary
    head = u(64, count) + u(256, its_work) + u(64, start_time) + u(64, end_time)
    return head + u(32, start_target) + u(32, following)


def read_summary(reader):
    return tuple(reader.u(bits) for bits in (64, 256, 64, 64, 32, 32))


def history_leaf(identity, summary):
    return H("HISTORY_LEAF", identity, summary_bytes(summary)), summary


def history_join(left, right):
    (lh, l), (rh, r) = left, right
    require(l[3] == r[2], "HIS-1")
    require(l[5] == r[4], "HIS-2")
    require(l[0] + r[0] <= U64_MAX and l[1] + r[1] <= U256_MAX, "HIS-3")
    node = H("HISTORY_NODE", lh, summary_bytes(l), rh, summary_bytes(r))
    return node, (l[0] + r[0], l[1] + r[1], l[2], r[3], l[4], r[5])


def history_node(leaves):
    if len(leaves) == 1:
        return leaves[0]
    k = split(len(leaves))
    return history_join(history_node(leaves[:k]), history_node(leaves[k:]))


def root_over(node):
    return H("HISTORY_ROOT", node[0], summary_bytes(node[1]))


def history_root(leaves):
    return root_over(history_node(leaves)) if leaves else ZERO


def history_way(height, count):
    """(first block, number of blocks, whether on the left) of each partner, lowest first."""
    steps, start, width = [], 0, count
    while width > 1:
        k = split(width)
        if height - start < k:
            steps.append((start + k, width - k, False))
            width = k
        else:
            steps.append((start, k, True))
            start, width = start + k, width - k
    return steps[::-1]


def history_proof_bytes(height, count, summary, partners):
    nodes = b"".join(node + summary_bytes(its) for node, its in partners)
    return u(64, height) + u(64, count) + summary_bytes(summary) + u(32, len(partners)) + nodes


def read_history_proof(reader):
    height, count, summary = reader.u(64), reader.u(64), read_summary(reader)
    partners = [(reader.take(32), read_summary(reader)) for _ in range(reader.count(64, 96))]
    return height, count, summary, partners


def verify_history_proof(height, count, summary, partners, identity, root):
    require(height < count, "HIS-4")
    way = history_way(height, count)
    require(len(partners) == len(way), "HIS-5")
    require(summary[0] == 1, "HIS-6")
    node = history_leaf(identity, summary)
    for (_, blocks, is_left), partner in zip(way, partners):
        require(partner[1][0] == blocks, "HIS-6")
        node = history_join(partner, node) if is_left else history_join(node, partner)
    require(root_over(node) == root, "HIS-7")


# ---- 10 Wallet -----------------------------------------------------------------------------------


def public_key_of(seed):
    scalar = bytearray(hashlib.sha512(seed).digest()[:32])
    scalar[0] &= 248
    scalar[31] = scalar[31] & 127 | 64
    x, y, z, _ = point_multiply(int.from_bytes(scalar, "little"), BASE)
    x, y = x * pow(z, P - 2, P) % P, y * pow(z, P - 2, P) % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def phrase_seed(words, passphrase):
    password, salt = (unicodedata.normalize("NFKD", text).encode() for text in (words, "mnemonic" + passphrase))
    return hashlib.pbkdf2_hmac("sha512", password, salt, 2048, 64)


def derive(seed, path):
    node = hmac.digest(b"ed25519 seed", seed, "sha512")
    for step in path.removeprefix("m/").split("/"):
        index = (int(step.removesuffix("'")) + 2**31).to_bytes(4, "big")
        node = hmac.digest(node[32:], b"\0" + node[:32] + index, "sha512")
    return node[:32]


def chacha_rounds(state):
    state = list(state)
    for places in ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
                   (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)) * 10:
        a, b, c, d = places
        for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            state[x] = (state[x] + state[y]) & 0xFFFFFFFF
            mixed = state[z] ^ state[x]
            state[z] = (mixed << turn | mixed >> (32 - turn)) & 0xFFFFFFFF
    return state


def words_of(data):
    return [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4)]


def bytes_of(words):
    return b"".join(u(32, word) for word in words)


CHACHA = words_of(b"expand 32-byte k")


def chacha_stream(key, nonce, first, length):
    stream = b""
    while len(stream) < length:
        state = CHACHA + words_of(key) + [first + len(stream) // 64] + words_of(nonce)
        stream += bytes_of((a + b) & 0xFFFFFFFF for a, b in zip(state, chacha_rounds(state)))
    return stream[:length]


def poly1305(key, data):
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for at in range(0, len(data), 16):
        total = (total + int.from_bytes(data[at : at + 16] + b"\1", "little")) * r % (2**130 - 5)
    return ((total + int.from_bytes(key[16:], "little")) % 2**128).to_bytes(16, "little")


def xchacha_seal(key, nonce, data, plaintext):
    inner = chacha_rounds(CHACHA + words_of(key) + words_of(nonce[:16]))
    key, nonce = bytes_of(inner[:4] + inner[12:]), bytes(4) + nonce[16:]
    stream = chacha_stream(key, nonce, 1, len(plaintext))
    text = bytes(a ^ b for a, b in zip(plaintext, stream))
    padded = data + bytes(-len(data) % 16) + text + bytes(-len(text) % 16)
    return text + poly1305(chacha_stream(key, nonce, 0, 32), padded + u(64, len(data)) + u(64, len(text)))


def accounts_open(accounts):
    out = u(32, len(accounts))
    for account in accounts:
        out += byte_string(account["name"].encode()) + bytes.fromhex(account["address"])
        if "path" in account:
            _, _, coin_type, index = account["path"].split("/")
            out += b"\1" + u(32, coin_type.rstrip("'")) + u(32, index.rstrip("'"))
        else:
            out += b"\2"
    return out


def seal_data(kind, seal, opened):
    costs = b"".join(u(32, seal[field]) for field in ("memory_kib", "passes", "lanes"))
    return kind + b"\0" + costs + bytes.fromhex(seal["salt"]) + bytes.fromhex(seal["nonce"]) + opened


# ---- 11 Wire -------------------------------------------------------------------------------------

STREAM_BODY_BYTES_MAX = {"peer": 4 * 1024 * 1024, "bulk": 16 * 1024 * 1024}
LINK_BYTES_MAX = {"HEL": 2048, "PIN": 64, "PON": 64, "GAD": 16, "ADR": 65536, "BYE": 256}
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def multistream(name):
    data, length = name.encode() + b"\n", b""
    rest = len(data)
    while rest >= 128:
        length, rest = length + bytes([rest & 127 | 128]), rest >> 7
    return length + bytes([rest]) + data


def peer_id(public_key):
    data = b"\x00\x24\x08\x01\x12\x20" + public_key
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = BASE58[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


class Der:
    """Values of DER (X.690): a tag, a length in its shortest form, contents."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def left(self):
        return len(self.data) - self.at

    def next(self, tag):
        """The next value whole, and a reader of its contents."""
        start = self.at
        require(self.left() >= 2 and self.data[start] == tag, "form")
        length, head = self.data[start + 1], 2
        if length >= 0x80:
            count = length & 0x7F
            require(1 <= count <= 2 and self.left() >= 2 + count, "form")
            digits = self.data[start + 2 : start + 2 + count]
            length, head = int.from_bytes(digits, "big"), 2 + count
            require(length >= (0x80 if count == 1 else 0x100), "form")
        require(self.left() >= head + length, "form")
        self.at = start + head + length
        return self.data[start : self.at], Der(self.data[start + head : self.at])

    def last(self, tag):
        found = self.next(tag)
        require(self.left() == 0, "form")
        return found


def bits_of(reader):
    require(reader.data[:1] == b"\0", "form")
    return reader.data[1:]


# Curves of FIPS 186-4, D.1.2: prime, b, base point, order; a is always -3.
CURVES = {
    "P-256": (
        2**256 - 2**224 + 2**192 + 2**96 - 1,
        0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
        (
            0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
            0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
        ),
        0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    ),
    "P-384": (
        2**384 - 2**128 - 2**96 + 2**32 - 1,
        0xB3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF,
        (
            0xAA87CA22BE8B05378EB1C71EF320AD746E1D3B628BA79B9859F741E082542A385502F25DBF55296C3A545E3872760AB7,
            0x3617DE4A96262C6F5D9E98BF9292DC29F8F41DBD289A147CE9DA3113B5F0B8C00A60B1CE1D7E819D7A431D7C90EA0E5F,
        ),
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
    ),
}


def curve_add(p, one, other):
    if one is None or other is None:
        return one or other
    if one[0] == other[0] and (one[1] + other[1]) % p == 0:
        return None
    if one == other:
        slope = (3 * one[0] * one[0] - 3) * pow(2 * one[1], -1, p)
    else:
        slope = (other[1] - one[1]) * pow(other[0] - one[0], -1, p)
    x = (slope * slope - one[0] - other[0]) % p
    return (x, (slope * (one[0] - x) - one[1]) % p)


def curve_multiply(p, scalar, point):
    result = None
    while scalar:
        if scalar & 1:
            result = curve_add(p, result, point)
        scalar, point = scalar >> 1, curve_add(p, point, point)
    return result


def ecdsa_verify(curve, digest, key, signature, message):
    p, b, base, order = CURVES[curve]
    size = (p.bit_length() + 7) // 8
    if len(key) != 1 + 2 * size or key[0] != 4:
        return False
    point = (int.from_bytes(key[1 : 1 + size], "big"), int.from_bytes(key[1 + size :], "big"))
    if (point[1] ** 2 - point[0] ** 3 + 3 * point[0] - b) % p:
        return False
    _, both = Der(signature).last(0x30)
    r, s = (int.from_bytes(both.next(0x02)[1].data, "big") for _ in range(2))
    if not (0 < r < order and 0 < s < order) or both.left():
        return False
    number = int.from_bytes(digest(message).digest()[:size], "big")
    inverse = pow(s, -1, order)
    found = curve_add(
        p, curve_multiply(p, number * inverse % order, base), curve_multiply(p, r * inverse % order, point)
    )
    return found is not None and found[0] % order == r


# AlgorithmIdentifiers (RFC 5480, RFC 5758, RFC 8410) of signature and key, without their own tag and length.
SIGNED_BY = {
    (bytes.fromhex("06082a8648ce3d040302"), bytes.fromhex("06072a8648ce3d020106082a8648ce3d030107")): (
        lambda key, signature, message: ecdsa_verify("P-256", hashlib.sha256, key, signature, message)
    ),
    (bytes.fromhex("06082a8648ce3d040303"), bytes.fromhex("06072a8648ce3d020106052b81040022")): (
        lambda key, signature, message: ecdsa_verify("P-384", hashlib.sha384, key, signature, message)
    ),
    (bytes.fromhex("06032b6570"), bytes.fromhex("06032b6570")): ed25519_verify,
}
NODE_EXTENSION = bytes.fromhex("2b0601040183a25a0101")


def node_of_certificate(data):
    """The text of the node that a certificate proves."""
    require(len(data) <= 4096, "size")
    _, outer = Der(data).last(0x30)
    signed, body = outer.next(0x30)
    signature_algorithm = outer.next(0x30)[1].data
    signature = bits_of(outer.last(0x03)[1])
    require(body.next(0xA0)[1].last(0x02)[1].data == b"\x02", "form")
    require(body.next(0x02)[1].left() > 0, "form")
    require(body.next(0x30)[1].data == signature_algorithm, "form")
    for _ in ("issuer", "validity", "subject"):
        body.next(0x30)
    key_info, key_parts = body.next(0x30)
    key_algorithm = key_parts.next(0x30)[1].data
    key = bits_of(key_parts.last(0x03)[1])
    extensions = body.last(0xA3)[1].last(0x30)[1]
    node = None
    while extensions.left():
        extension = extensions.next(0x30)[1]
        name = extension.next(0x06)[1].data
        critical = extension.data[extension.at : extension.at + 1] == b"\x01"
        critical = critical and extension.next(0x01)[1].data == b"\xff"
        content = extension.last(0x04)[1]
        if name != NODE_EXTENSION:
            require(not critical, "unknown extension")
            continue
        both = content.last(0x30)[1]
        public, node_signature = both.next(0x04)[1].data, both.last(0x04)[1].data
        require(public[:4] == hexed("08011220") and len(public) == 36, "node key")
        require(point_from_bytes(public[4:]) is not None and node is None, "node key")
        node = (public[4:], node_signature)
    require(node is not None, "no node")
    verify = SIGNED_BY.get((signature_algorithm, key_algorithm))
    require(verify is not None and verify(key, signature, signed), "own signature")
    require(ed25519_verify(node[0], node[1], b"libp2p-tls-handshake:" + key_info), "node signature")
    return peer_id(node[0])


def frame_bytes(tag_text, body):
    return u(32, 3 + len(body)) + tag_text.encode() + body


def head_verdict(stream, head):
    """What a node that knows the frames about the link alone says of the beginning of a frame."""
    length, tag_bytes = int.from_bytes(head[:4], "little"), head[4:]
    require(length >= 3, "NET-1")
    require(all(chr(byte).isalnum() and byte < 128 for byte in tag_bytes), "NET-2")
    require(length - 3 <= STREAM_BODY_BYTES_MAX[stream], "NET-3")
    tag_text = tag_bytes.decode()
    if stream == "peer" and tag_text in LINK_BYTES_MAX:
        rule = "NET-9" if tag_text == "HEL" else "NET-3"
        require(length - 3 <= LINK_BYTES_MAX[tag_text], rule)
        return "taken"
    require(tag_text[0].islower(), "NET-4")
    return "read over"


class LinkPack:
    """MessagePack, as far as frames about the link need it."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        require(count <= len(self.data) - self.at, "NET-6")
        self.at += count
        return self.data[self.at - count : self.at]

    def big(self, count):
        return int.from_bytes(self.take(count), "big")

    def number(self, bits):
        head = self.big(1)
        if head < 0x80:
            found = head
        elif 0xCC <= head <= 0xCF:
            found = self.big(1 << (head - 0xCC))
        else:
            require(0xD0 <= head <= 0xD3, "NET-6")
            width = 1 << (head - 0xD0)
            found = self.big(width)
            require(found < 1 << (8 * width - 1), "NET-6")
        require(found < 1 << bits, "NET-6")
        return found

    def text(self, limit):
        head = self.big(1)
        if head & 0xE0 == 0xA0:
            length = head & 0x1F
        else:
            require(0xD9 <= head <= 0xDB, "NET-6")
            length = self.big(1 << (head - 0xD9))
        require(length <= limit, "NET-7")
        try:
            return self.take(length).decode("utf-8")
        except UnicodeDecodeError:
            raise Refused("NET-6") from None

    def bin(self, lengths):
        head = self.big(1)
        require(0xC4 <= head <= 0xC6, "NET-6")
        length = self.big(1 << (head - 0xC4))
        require(length in lengths, "NET-6")
        return self.take(length)

    def count(self):
        head = self.big(1)
        if head & 0xF0 == 0x90:
            return head & 0x0F
        require(head in (0xDC, 0xDD), "NET-6")
        return self.big(2 if head == 0xDC else 4)

    def list(self, limit):
        count = self.count()
        require(count <= limit, "NET-7")
        return count

    def fields(self, known):
        """How many fields of a later version follow those that are known."""
        count = self.count()
        require(count >= known, "NET-6")
        return count - known

    def skip(self, values, depth=0):
        for _ in range(values):
            self.skip_one(depth)

    def skip_one(self, depth):
        head = self.big(1)
        inner = None
        if head < 0x80 or head >= 0xE0 or head in (0xC0, 0xC2, 0xC3):
            pass
        elif head & 0xF0 == 0x80:
            inner = 2 * (head & 0x0F)
        elif head & 0xF0 == 0x90:
            inner = head & 0x0F
        elif head & 0xE0 == 0xA0:
            self.take(head & 0x1F)
        elif 0xC4 <= head <= 0xC6 or 0xD9 <= head <= 0xDB:
            self.take(self.big(1 << (head - (0xC4 if head < 0xD0 else 0xD9))))
        elif 0xC7 <= head <= 0xC9:
            self.take(self.big(1 << (head - 0xC7)) + 1)
        elif head in (0xCA, 0xCB):
            self.take(4 if head == 0xCA else 8)
        elif 0xCC <= head <= 0xD3:
            self.take(1 << (head - 0xCC) % 4)
        elif 0xD4 <= head <= 0xD8:
            self.take((1 << (head - 0xD4)) + 1)
        elif head in (0xDC, 0xDD):
            inner = self.big(2 if head == 0xDC else 4)
        elif head in (0xDE, 0xDF):
            inner = 2 * self.big(2 if head == 0xDE else 4)
        else:
            raise Refused("NET-6")
        if inner is not None:
            require(depth < 16, "NET-6")
            self.skip(inner, depth + 1)

    def finish(self):
        require(self.at == len(self.data), "NET-6")


def packed(value):
    """The shortest MessagePack of numbers, texts, bytes and lists of such."""
    if isinstance(value, int):
        if value < 128:
            return bytes([value])
        at = next(at for at in range(4) if value < 1 << (8 << at))
        return bytes([0xCC + at]) + value.to_bytes(1 << at, "big")
    if isinstance(value, str):
        data = value.encode()
        if len(data) < 32:
            return bytes([0xA0 | len(data)]) + data
        return bytes([0xD9, len(data)]) + data
    if isinstance(value, bytes):
        return bytes([0xC4, len(value)]) + value
    head = bytes([0x90 | len(value)]) if len(value) < 16 else b"\xdc" + len(value).to_bytes(2, "big")
    return head + b"".join(packed(item) for item in value)


def socket_of(text):
    """An address and a port as text, IPv4 in IPv6 as IPv4; None for anything else."""
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        return None
    try:
        if host.startswith("[") and host.endswith("]"):
            address = ipaddress.IPv6Address(host[1:-1])
            address = address.ipv4_mapped or address
        else:
            address = ipaddress.IPv4Address(host)
    except ValueError:
        return None
    return address, f"{address}:{port}" if address.version == 4 else f"[{address}]:{port}"


def is_dialable(address):
    return not (address.is_unspecified or address.is_multicast or str(address) == "255.255.255.255")


def shown(text):
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def read_greeting(pack):
    more = pack.fields(13)
    content = {"version": pack.number(16), "identity": pack.bin([32]).hex()}
    content["software"], content["name"] = shown(pack.text(64)), shown(pack.text(32))
    content["roles"], content["services"] = pack.number(32), pack.number(32)
    content["height"] = str(pack.number(64))
    content["head"], content["work"] = pack.bin([32]).hex(), pack.bin([32]).hex()
    texts = [pack.text(128) for _ in range(pack.list(8))]
    content["listen"] = [socket[1] for socket in map(socket_of, texts) if socket]
    observed = socket_of(pack.text(128))
    content["observed"] = observed[1] if observed else ""
    content["nonce"], content["time_ms"] = str(pack.number(64)), str(pack.number(64))
    return more, content


def read_record(pack):
    more = pack.fields(4)
    address, key = socket_of(pack.text(128)), pack.bin([0, 32])
    last_seen, roles = pack.number(64), pack.number(32)
    pack.skip(more)
    if address is None or not is_dialable(address[0]) or key and point_from_bytes(key) is None:
        return []
    return [{"address": address[1], "node": key.hex(), "last_seen": str(last_seen), "roles": roles}]


def read_link_message(tag_text, body):
    pack = LinkPack(body)
    if tag_text == "HEL":
        more, content = read_greeting(pack)
    elif tag_text in ("PIN", "PON"):
        more, content = pack.fields(1), {"nonce": str(pack.number(64))}
    elif tag_text == "GAD":
        more, content = pack.fields(0), {}
    elif tag_text == "ADR":
        more = pack.fields(1)
        content = {"records": [one for _ in range(pack.list(250)) for one in read_record(pack)]}
    else:
        more, content = pack.fields(2), {"code": pack.number(16), "text": shown(pack.text(200))}
    pack.skip(more)
    pack.finish()
    return content


def written_link_message(tag_text, content):
    if tag_text == "HEL":
        return packed([
            content["version"], hexed(content["identity"]), content["software"], content["name"],
            content["roles"], content["services"], int(content["height"]), hexed(content["head"]),
            hexed(content["work"]), content["listen"], content["observed"], int(content["nonce"]),
            int(content["time_ms"]),
        ])
    if tag_text in ("PIN", "PON"):
        return packed([int(content["nonce"])])
    if tag_text == "ADR":
        records = [[one["address"], hexed(one["node"]), int(one["last_seen"]), one["roles"]]
                   for one in content["records"]]
        return packed([records])
    return packed(list(content.values()))


# ---- 12 Messages ---------------------------------------------------------------------------------

# Each message: its fields, with their types and limits.
MESSAGES = {
    "INV": [("leaves", "hashes", 1000)],
    "GET": [("leaves", "hashes", 100)],
    "NOF": [("leaves", "hashes", 100)],
    "TXN": [("transactions", read_transaction, 100)],
    "GHD": [("locator", "hashes", 64), ("stop", "hash", None)],
    "HDR": [("headers", lambda r: (read_header(r), read_seal(r)), 2000)],
    "GCM": [("block", "hash", None)],
    "CMP": [
        ("header", "header", 69632), ("salt", "number", None), ("certificate", "certificate", 69632),
        ("extra", "bytes", 65536), ("short_ids", "short ids", 131072),
    ],
    "GBT": [("block", "hash", None), ("places", "places", 131072)],
    "BTX": [("block", "hash", None), ("transactions", read_transaction, 131072)],
    "GBL": [("blocks", "hashes", 128)],
    "BLK": [("block", "bytes", 2**24)],
    "GGN": [("identity", "hash", None)],
    "GEN": [("piece", "bytes", 2**20)],
}  # fmt: skip
BODY_BYTES_MAX = {
    "peer": {
        "INV": 32064, "GET": 3264, "NOF": 3264, "TXN": 1114176, "GHD": 2144, "HDR": 2097152, "GCM": 96,
        "CMP": 1048576, "GBT": 524352, "BTX": 4194288,
    },
    "bulk": {"GBL": 4160, "BLK": 16777200, "GGN": 96, "GEN": 1048640},
}  # fmt: skip
# What is made of pieces of one length.
PIECES = {"hashes": 32, "places": 4, "short ids": 6}


class Pack:
    """MessagePack, as far as messages need it. Numbers of MessagePack are big-endian."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        require(count <= len(self.data) - self.at, "MSG-2")
        self.at += count
        return self.data[self.at - count : self.at]

    def big(self, count):
        return int.from_bytes(self.take(count), "big")

    def array(self):
        mark = self.big(1)
        if mark & 0xF0 == 0x90:
            return mark & 0x0F
        require(mark in (0xDC, 0xDD), "MSG-2")
        return self.big({0xDC: 2, 0xDD: 4}[mark])

    def bin(self, limit):
        mark = self.big(1)
        require(mark in (0xC4, 0xC5, 0xC6), "MSG-2")
        length = self.big({0xC4: 1, 0xC5: 2, 0xC6: 4}[mark])
        require(limit is None or length <= limit, "MSG-3")
        return self.take(length)

    def number(self):
        mark = self.big(1)
        if mark <= 0x7F:
            return mark
        require(0xCC <= mark <= 0xD3, "MSG-2")
        if mark <= 0xCF:
            return self.big(1 << mark - 0xCC)
        number = int.from_bytes(self.take(1 << mark - 0xD0), "big", signed=True)
        require(number >= 0, "MSG-2")
        return number


def canonical(read, data):
    require(rule_of(lambda: read_exactly(read, data)) is None, "MSG-4")
    return data.hex()


def read_field(pack, kind, limit):
    if kind == "number":
        return str(pack.number())
    if kind == "hash":
        data = pack.bin(None)
        require(len(data) == 32, "MSG-2")
        return data.hex()
    if kind in PIECES:
        size = PIECES[kind]
        data = pack.bin(limit * size)
        require(len(data) % size == 0, "MSG-2")
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        if kind != "places":
            return [piece.hex() for piece in pieces]
        places = [int.from_bytes(piece, "little") for piece in pieces]
        require(all(a < b for a, b in zip(places, places[1:])), "MSG-5")
        return places
    if kind in ("bytes", "header", "certificate"):
        data = pack.bin(limit)
        if kind == "header":
            canonical(lambda r: (read_header(r), read_seal(r)), data)
        elif kind == "certificate" and data:
            canonical(read_certificate, data)
        return data.hex()
    count = pack.array()
    require(count <= limit, "MSG-3")
    return [canonical(kind, pack.bin(None)) for _ in range(count)]


def read_message(name, body):
    require(name in MESSAGES, "MSG-1")
    pack = Pack(body)
    left, fields = pack.array(), {}
    for field, kind, limit in MESSAGES[name]:
        require(left > 0, "MSG-2")
        left -= 1
        fields[field] = read_field(pack, kind, limit)
    return fields


def pack_array(count):
    if count <= 15:
        return bytes([0x90 | count])
    return b"\xdc" + count.to_bytes(2, "big") if count < 2**16 else b"\xdd" + count.to_bytes(4, "big")


def pack_bin(data):
    size, mark = next((size, mark) for size, mark in ((1, 0xC4), (2, 0xC5), (4, 0xC6)) if len(data) < 256**size)
    return bytes([mark]) + len(data).to_bytes(size, "big") + data


def pack_number(number):
    if number <= 0x7F:
        return bytes([number])
    power = next(power for power in range(4) if number < 256 ** (1 << power))
    return bytes([0xCC + power]) + number.to_bytes(1 << power, "big")


def write_message(name, fields):
    out = pack_array(len(MESSAGES[name]))
    for field, kind, _ in MESSAGES[name]:
        value = fields[field]
        if kind == "number":
            out += pack_number(int(value))
        elif kind == "places":
            out += pack_bin(b"".join(u(32, place) for place in value))
        elif kind in PIECES:
            out += pack_bin(b"".join(bytes.fromhex(piece) for piece in value))
        elif isinstance(kind, str):
            out += pack_bin(bytes.fromhex(value))
        else:
            out += pack_array(len(value)) + b"".join(pack_bin(bytes.fromhex(item)) for item in value)
    return out


def siphash_2_4(k0, k1, data):
    """Aumasson and Bernstein, SipHash: a fast short-input PRF (2012)."""
    mask = U64_MAX

    def rotate(x, bits):
        return (x << bits | x >> 64 - bits) & mask

    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def rounds(count):
        for _ in range(count):
            v[0] = (v[0] + v[1]) & mask
            v[2] = (v[2] + v[3]) & mask
            v[1] = rotate(v[1], 13) ^ v[0]
            v[3] = rotate(v[3], 16) ^ v[2]
            v[0] = rotate(v[0], 32)
            v[2] = (v[2] + v[1]) & mask
            v[0] = (v[0] + v[3]) & mask
            v[1] = rotate(v[1], 17) ^ v[2]
            v[3] = rotate(v[3], 21) ^ v[0]
            v[2] = rotate(v[2], 32)

    whole = len(data) // 8 * 8
    last = data[whole:] + bytes(7 - len(data) % 8) + bytes([len(data) % 256])
    for at in range(0, whole + 8, 8):
        word = int.from_bytes((data[:whole] + last)[at : at + 8], "little")
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def short_id(key, leaf):
    k0, k1 = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:16], "little")
    return u(64, siphash_2_4(k0, k1, leaf))[:6]


# ---- 13 Joining ----------------------------------------------------------------------------------

INVITE_PREFIX = "cairninvite"
INVITE_TEXT_MAX, INVITE_HOST_MAX, INVITE_NAME_MAX = 1023, 95, 64


def invite_bytes(identity, name, addresses):
    """The bytes of an invite; an address is a node's key or none, a host and a port."""
    rest = identity + u(8, len(name.encode())) + name.encode() + u(8, len(addresses))
    for node, host, port in addresses:
        try:
            ip = ipaddress.ip_address(host.strip("[]"))
            kind, place = (1 if ip.version == 4 else 2), ip.packed
        except ValueError:
            kind, place = 3, u(8, len(host)) + host.encode("ascii")
        rest += u(8, kind | (0x80 if node else 0)) + (node or b"") + place + u(16, port)
    return u(8, 1) + u(16, len(rest)) + rest


def read_invite_address(reader):
    kind = reader.u(8)
    node = reader.take(32) if kind & 0x80 else None
    if node is not None:
        require(point_from_bytes(node) is not None, "content")
    require(kind & 0x7F in (1, 2, 3), "content")
    if kind & 0x7F == 1:
        host = str(ipaddress.IPv4Address(reader.take(4)))
    elif kind & 0x7F == 2:
        ip = ipaddress.IPv6Address(reader.take(16))
        require(ip.ipv4_mapped is None, "content")
        host = f"[{ip}]"
    else:
        host = reader.take(reader.u(8)).decode("utf-8", "replace")
        # A name ends with a letter, or a dot behind one; `1.2.3` is an address that some systems complete.
        require(1 <= len(host) <= INVITE_HOST_MAX and re.fullmatch("[a-z0-9._-]*", host), "content")
        require(not host.rstrip(".")[-1:].isdigit(), "content")
    port = reader.u(16)
    require(port != 0, "content")
    return node, host, port


def read_invite(text):
    require(text.lower().startswith(INVITE_PREFIX + "1"), "not-an-invite")
    require(len(text) <= INVITE_TEXT_MAX, "mistyped")
    decoded = bech32m_decode(text)
    if decoded is None or not decoded[2]:
        rest = [DIGITS.find(c) for c in text.lower()[len(INVITE_PREFIX) + 1 :]]
        if len(rest) >= 5 and min(rest) >= 0 and text in (text.lower(), text.upper()):
            head = sum(value << 5 * (4 - i) for i, value in enumerate(rest[:5])) >> 1
            head = head.to_bytes(3, "big")
            expected = len(INVITE_PREFIX) + 1 + -(-8 * (3 + int.from_bytes(head[1:], "little")) // 5) + 6
            if head[0] == 1 and len(text) < expected <= INVITE_TEXT_MAX:
                raise Refused("cut-off")
        raise Refused("mistyped")
    _, values, _ = decoded
    number = sum(value << 5 * (len(values) - 1 - i) for i, value in enumerate(values))
    data = (number >> len(values) * 5 % 8).to_bytes(len(values) * 5 // 8, "big")
    require(len(data) >= 3, "content")
    require(data[0] == 1, "later-version")
    try:
        reader = Reader(data[1:])
        require(reader.u(16) == reader.left(), "content")
        identity = reader.take(32)
        name = reader.take(reader.u(8)).decode("utf-8")
        count = reader.u(8)
        require(1 <= count <= 4, "content")
        addresses = [read_invite_address(reader) for _ in range(count)]
        reader.finish()
    except (Refused, UnicodeDecodeError):
        raise Refused("content") from None
    plain = all(ord(c) >= 32 and not 127 <= ord(c) < 160 for c in name)
    require(1 <= len(name.encode()) <= INVITE_NAME_MAX and plain, "content")
    require(len(set(addresses)) == count, "content")
    # Spare bits that are set, or characters beyond the bytes, would give one invite several texts.
    require(bech32m_encode(INVITE_PREFIX, data) == text.lower(), "content")
    return identity, name, addresses


# ---- The files -----------------------------------------------------------------------------------


class Checks:
    """Counts comparisons and keeps what differs."""

    def __init__(self):
        self.count, self.differences = 0, []

    def same(self, what, found, expected):
        self.count += 1
        if isinstance(found, bytes):
            found = found.hex()
        if isinstance(expected, str) and isinstance(found, int) and not isinstance(found, bool):
            found = str(found)
        if found != expected:
            self.differences.append(f"{what}: the pages give {found}, the file has {expected}")


def hexed(text):
    return bytes.fromhex(text)


def target_text(bits):
    return None if bits is None else f"{bits:08x}"


def section_of(data):
    """A section of a file, with numbers as numbers."""
    section = dict(data)
    for field, value in data.items():
        if field in ("first_target", "target_limit"):
            section[field] = int(value, 16)
        elif isinstance(value, str) and value.isdigit() and field not in ("name", "symbol", "prefix"):
            section[field] = int(value)
    section["authorities"] = [hexed(key) for key in data["authorities"]]
    return section


def body_of(data):
    body = {name: int(data[name]) for name in ("version", "nonce", "valid_until", "max_fee_rate", "tip_rate")}
    body["transfers"] = [(hexed(it["to"]), int(it["amount"])) for it in data["transfers"]]
    return {**body, "data": hexed(data["data"])}


def header_of(data):
    header = {}
    for field, bits in HEADER:
        value = data[field]
        header[field] = hexed(value) if bits is None else int(value, 16) if field == "target" else int(value)
    return header


def summary_of(data):
    return (
        int(data["count"]),
        int(data["work"]),
        int(data["start_time_ms"]),
        int(data["end_time_ms"]),
        int(data["start_target"], 16),
        int(data["next_target"], 16),
    )


READERS = {
    "u8": lambda r: r.u(8), "u16": lambda r: r.u(16), "u32": lambda r: r.u(32), "u64": lambda r: r.u(64),
    "u256": lambda r: r.u(256), "bool": Reader.bool, "hash": lambda r: r.take(32).hex(),
    "bytes": lambda r: r.bytes(65536).hex(), "text": lambda r: r.text(65536), "text8": lambda r: r.text(8),
    "address": lambda r: r.take(32), "transaction": read_transaction, "public_key": read_public_key,
    "witness": read_witness, "certificate": read_certificate, "body": read_body, "seal": read_seal,
    "tx_proof": read_tx_proof, "state_proof": read_state_proof, "section": read_section,
    "state_value": lambda r: read_state_value(r.take(r.left())),
}  # fmt: skip


def write_value(kind, value):
    if kind in ("hash", "bytes"):
        return hexed(value) if kind == "hash" else byte_string(hexed(value))
    if kind == "text":
        return byte_string(value.encode())
    return u(8 if kind == "bool" else int(kind[1:]), value)


def check_bytes(file, checks):
    for case in file["values"]:
        checks.same(f"{case['type']} {case['value']}", write_value(case["type"], case["value"]), case["bytes"])
        checks.same(case["bytes"], read_exactly(READERS[case["type"]], hexed(case["bytes"])), case["value"])
    for case in file["refused"]:
        rule = rule_of(lambda: read_exactly(READERS[case["type"]], hexed(case["bytes"])))
        checks.same(f"{case['type']}, {case['what']}", rule, case["rule"])
    checks.same("tags", sorted(case["tag"] for case in file["tags"]), sorted(name.decode() for name in TAGS.values()))
    for case in file["tags"]:
        name = next(name for name, text in TAGS.items() if text.decode() == case["tag"])
        checks.same(case["tag"], tag(name), case["bytes"])
        checks.same(f"H({name})", H(name), case["hash_of_nothing"])
        checks.same(f"H({name} ‖ abc)", H(name, b"abc"), case["hash_of_abc"])


def check_keys(file, checks):
    for case in file["ed25519"]:
        key = public_key_of(hexed(case["seed"]))
        address = address_of(1, key)
        checks.same("public key", key, case["public_key"])
        checks.same("address", address, case["address"])
        checks.same("path", account_path(address), case["path"])
        for prefix in ("cairn", "tn"):
            checks.same("text", bech32m_encode(prefix, address), case[f"text_{prefix}"])
            checks.same("address of text", address_from_text(case[f"text_{prefix}"], prefix), case["address"])
    for case in file["witnesses"]:
        witness = read_exactly(read_witness, hexed(case["bytes"]))
        checks.same("scheme", witness["scheme"], SCHEMES[case["scheme"]])
        checks.same("witness hash", H("WITNESS", witness["bytes"]), case["hash"])
        checks.same("witness address", witness["address"], case["address"])
        checks.same("verify weight", witness["verify_weight"], case["verify_weight"])
    for case in file["refused_texts"]:
        checks.same(case["what"], rule_of(lambda: address_from_text(case["text"], case["prefix"])), case["rule"])
    for case in file["signatures"]:
        verdict = ed25519_verify(*(hexed(case[field]) for field in ("public_key", "signature", "message")))
        checks.same("signature", verdict, case["valid"])
    seal = file["seal_message"]
    checks.same("seal message", tag("SEAL") + hexed(seal["identity"]) + hexed(seal["id"]), seal["message"])


def check_transactions(file, checks):
    section, identity, base_fee = section_of(file["section"]), hexed(file["identity"]), int(file["base_fee"])
    checks.same("section", section_bytes(section), file["section"]["bytes"])
    for case in file["valid"]:
        what, data = case["what"], hexed(case["bytes"])
        transaction = describe(read_exactly(read_transaction, data), identity)
        checks.same(f"{what}: body", body_bytes(body_of(case["body"])), case["body_bytes"])
        checks.same(f"{what}: body as read", body_bytes(transaction["body"]), case["body_bytes"])
        checks.same(f"{what}: bytes", transaction["bytes"], case["body_bytes"] + case["witness_bytes"])
        for field in ("sender", "id", "witness_hash", "leaf", "weight", "amount"):
            checks.same(f"{what}: {field}", transaction[field], case[field])
        cost_max = transaction["amount"] + transaction["weight"] * transaction["body"]["max_fee_rate"]
        checks.same(f"{what}: cost_max", cost_max, case["cost_max"])
        try:
            fees = fees_of(transaction, base_fee)
        except Refused:
            fees = (None, None)
        checks.same(f"{what}: base part", fees[0], case["fee_base"])
        checks.same(f"{what}: tip", fees[1], case["fee_tip"])

        def judge(transaction=transaction):
            check_transaction_form(transaction, section)
            check_signature(transaction)

        checks.same(f"{what}: rule", rule_of(judge), None)
    for case in file["refused"]:

        def judge(data=hexed(case["bytes"])):
            transaction = describe(read_exactly(read_transaction, data), identity)
            check_transaction_form(transaction, section)
            check_signature(transaction)

        checks.same(case["what"], rule_of(judge), case["rule"])
    against = file["against_state"]
    for case in against["cases"]:
        before = [(hexed(it["address"]), int(it["balance"]), int(it["nonce"])) for it in against["before"]]
        accounts = {account_path(address): (balance, nonce) for address, balance, nonce in before}
        transaction = describe(read_exactly(read_transaction, hexed(case["bytes"])), identity)
        try:
            fees = apply_transaction(accounts, transaction, int(against["height"]), base_fee, section["reserve"])
            rule = None
        except Refused as refused:
            fees, rule = (None, None), refused.rule
        checks.same(f"{case['what']}: rule", rule, case["rule"])
        checks.same(f"{case['what']}: base part", fees[0], case["fee_base"])
        checks.same(f"{case['what']}: tip", fees[1], case["fee_tip"])
        for address, expected in zip(against["after_addresses"], case["after"]):
            account = accounts.get(account_path(hexed(address)))
            found = account and {"balance": str(account[0]), "nonce": str(account[1])}
            checks.same(f"{case['what']}: {address}", found, expected)


def check_merkle(file, checks):
    for number, case in enumerate(file["trees"]):
        leaves = [H("LEAF", bytes([n])) for n in range(number)]
        checks.same("leaves", [leaf.hex() for leaf in leaves], case["leaves"])
        root = tx_root(leaves)
        checks.same(f"root of {number}", root, case["root"])
        checks.same(f"proofs of {number}", len(case["proofs"]), number)
        for index, proof in enumerate(case["proofs"]):
            siblings = tx_siblings(leaves, index)
            checks.same("index", index, proof["index"])
            checks.same("siblings", [it.hex() for it in siblings], proof["siblings"])
            checks.same("proof", tx_proof_bytes(index, number, siblings), proof["bytes"])
            read = read_exactly(read_tx_proof, hexed(proof["bytes"]))
            checks.same("proof holds", rule_of(lambda: verify_tx_proof(*read, leaves[index], root)), None)
    for case in file["refused"]:
        proof = read_exactly(read_tx_proof, hexed(case["proof"]))
        rule = rule_of(lambda: verify_tx_proof(*proof, hexed(case["leaf"]), hexed(case["root"])))
        checks.same(case["what"], rule, case["rule"])


def check_state(file, checks):
    checks.same("account", account_value(258, 3), file["account_258_3"])
    for tree in file["trees"]:
        what, entries = tree["what"], []
        for it in tree["accounts"]:
            entry = account_path(hexed(it["address"])), account_value(it["balance"], it["nonce"])
            checks.same(f"{what}: path", entry[0], it["path"])
            checks.same(f"{what}: value", entry[1], it["value"])
            entries.append(entry)
        for it in tree["reserved"]:
            entry = H("RESERVED_PATH", it["name"].encode()), hexed(it["value"])
            checks.same(f"{what}: reserved path", entry[0], it["path"])
            entries.append(entry)
        root = state_root(entries)
        checks.same(f"{what}: root", root, tree["root"])
        for proof in tree["proofs"]:
            path = hexed(proof["path"])
            siblings, end = state_proof(entries, path)
            checks.same(f"{what}: siblings", [it.hex() for it in siblings], proof["siblings"])
            checks.same(f"{what}: end", end and {"path": end[0].hex(), "value": end[1].hex()}, proof["end"])
            checks.same(f"{what}: proof", state_proof_bytes(siblings, end), proof["bytes"])
            read = read_exactly(read_state_proof, hexed(proof["bytes"]))
            checks.same(f"{what}: answer", verify_state_proof(*read, root, path), proof["value"])
    for case in file["refused"]:

        def judge(case=case):
            data = hexed(case["proof"])
            # A proof that is too long cannot even be read: 257 hashes are above the limit of its list.
            if rule_of(lambda: read_exactly(read_state_proof, data)) == "BYT-3":
                raise Refused("STA-3")
            proof = read_exactly(read_state_proof, data)
            verify_state_proof(*proof, hexed(case["root"]), hexed(case["path"]))

        checks.same(case["what"], rule_of(judge), case["rule"])


def check_blocks(file, checks):
    identity = hexed(file["identity"])
    for case in file["blocks"]:
        what = case["what"]
        block = read_exactly(read_block, hexed(case["bytes"]))
        header = header_of(case["header"])
        checks.same(f"{what}: header", header_bytes(header), case["header_bytes"])
        checks.same(f"{what}: header length", len(header_bytes(header)), 266)
        checks.same(f"{what}: header as read", header_bytes(block["header"]), case["header_bytes"])
        checks.same(f"{what}: body", block["body"]["bytes"], case["body_bytes"])
        checks.same(f"{what}: transactions", [it["bytes"].hex() for it in block["body"]["transactions"]], case["transactions"])
        checks.same(f"{what}: extra", block["body"]["extra"], case["extra"])
        checks.same(f"{what}: extra hash", H("EXTRA", block["body"]["extra"]), case["extra_hash"])
        checks.same(f"{what}: seal", block["seal"]["bytes"], case["seal_bytes"])
        checks.same(f"{what}: kind", block["seal"]["kind"], case["seal"]["kind"])
        checks.same(f"{what}: seal hash", seal_hash(header), case["seal_hash"])
        identifier = block_id(seal_hash(header), block["seal"]["nonce"])
        checks.same(f"{what}: id", identifier, case["id"])
        if block["seal"]["kind"] != "certificate":
            checks.same(f"{what}: nonce", block["seal"]["nonce"], case["seal"]["nonce"])
        if block["seal"]["kind"] == "permit":
            keys = [hexed(case["public_key"]) for case in load("keys.json")["ed25519"]]
            key = next(key for key in keys if address_of(1, key) == header["producer"])
            checks.same(f"{what}: signature", block["seal"]["signature"], case["seal"]["signature"])
            verdict = ed25519_verify(key, block["seal"]["signature"], tag("SEAL") + identity + identifier)
            checks.same(f"{what}: permit", verdict, True)
        pairs = [(block["body"]["certificate"], case["certificate"])]
        pairs.append((block["seal"].get("certificate"), case["seal"].get("certificate")))
        for found, expected in pairs:
            checks.same(f"{what}: certificate", found is None, expected is None)
            if found:
                checks.same(f"{what}: certificate bytes", found["bytes"], expected["bytes"])
                checks.same(f"{what}: certificate hash", H("CERTIFICATE", found["bytes"]), expected["hash"])
                for field in ("height", "round", "id", "signers"):
                    value = found[field]
                    checks.same(f"{what}: {field}", value, expected[field])
                checks.same(f"{what}: signatures", [it.hex() for it in found["signatures"]], expected["signatures"])
    for case in file["ids"]:
        checks.same("id", block_id(hexed(case["seal_hash"]), int(case["nonce"])), case["id"])


def check_work(file, checks):
    for case in file["compact"]:
        value = expand(int(case["bits"], 16))
        checks.same(f"{case['bits']}: target", value and f"{value:064x}", case["target"])
        checks.same(f"{case['bits']}: work", value and str(work(value)), case["work"])
    for case in file["roundings"]:
        bits = compact(int(case["target"], 16))
        checks.same("rounding", target_text(bits), case["bits"])
        checks.same("rounded", f"{expand(bits):064x}", case["rounded"])
    for case in file["steps"]:
        numbers = (int(case["interval_ms"]), int(case["half_life_ms"]), expand(int(case["limit"], 16)))
        found = next_target(*numbers, expand(int(case["parent"], 16)), int(case["solve_time_ms"]))
        checks.same(f"step {case}", target_text(found), case["next"])
    for case in file["met"]:
        checks.same("met", int(case["id"], 16) <= expand(int(case["target"], 16)), case["met"])
    for case in file["choices"]:
        found = leaves_tip(*(int(case[field]) for field in ("candidate", "tip", "tip_block")))
        checks.same(f"choice {case}", found, case["leaves"])


def check_economy(file, checks):
    for case in file["base_fee"]:
        section = {
            "floor": int(case["floor"]),
            "moving": case["moving"],
            "block_weight": int(case["block_weight"]),
        }
        found = next_base_fee(section, int(case["base_fee"]), int(case["weight_used"]))
        checks.same(f"base fee {case}", found, case["next"])
    for case in file["issuance"]:
        section = {field: int(case[field]) for field in ("initial", "halving_every", "tail", "cap")}
        for at in case["heights"]:
            height = int(at["height"])
            checks.same(f"reward {section} at {height}", reward(section, height), at["reward"])
            checks.same(f"issued {section} at {height}", issued(section, height), at["issued"])


def check_summary(checks, summary, expected):
    checks.same("summary", summary, summary_of(expected))
    checks.same("summary's bytes", summary_bytes(summary), expected["bytes"])


def check_history(file, checks):
    leaves = []
    for case in file["blocks"]:
        summary = summary_of(case["summary"])
        check_summary(checks, summary, case["summary"])
        leaves.append(history_leaf(hexed(case["id"]), summary))
        checks.same("leaf", leaves[-1][0], case["leaf"])
    for number, case in enumerate(file["trees"]):
        root = history_root(leaves[:number])
        checks.same(f"root of {number}", root, case["root"])
        checks.same("count", number, case["count"])
        if number:
            top = history_node(leaves[:number])
            checks.same("top", top[0], case["top"]["hash"])
            check_summary(checks, top[1], case["top"]["summary"])
        checks.same(f"proofs of {number}", len(case["proofs"]), number)
        for height, proof in enumerate(case["proofs"]):
            checks.same("height", height, proof["height"])
            way = history_way(height, number)
            partners = [history_node(leaves[start : start + count]) for start, count, _ in way]
            for (start, _, is_left), partner, expected in zip(way, partners, proof["partners"]):
                checks.same("partner's start", start, expected["start"])
                checks.same("partner's side", is_left, expected["is_left"])
                checks.same("partner's hash", partner[0], expected["hash"])
                check_summary(checks, partner[1], expected["summary"])
            checks.same("proof", history_proof_bytes(height, number, leaves[height][1], partners), proof["bytes"])
            read = read_exactly(read_history_proof, hexed(proof["bytes"]))
            identity = hexed(file["blocks"][height]["id"])
            checks.same("proof holds", rule_of(lambda: verify_history_proof(*read, identity, root)), None)
    for case in file["refused"]:
        proof = read_exactly(read_history_proof, hexed(case["proof"]))
        rule = rule_of(lambda: verify_history_proof(*proof, hexed(case["id"]), hexed(case["root"])))
        checks.same(case["what"], rule, case["rule"])


def check_genesis(file, checks):
    for case in file["networks"]:
        what = case["what"]
        section, allocations, first, nonce = read_exactly(read_genesis, hexed(case["bytes"]))
        header = genesis_header(section, allocations, first)
        checks.same(f"{what}: section", section_bytes(section), case["section"]["bytes"])
        checks.same(f"{what}: section field by field", section_bytes(section_of(case["section"])), case["section"]["bytes"])
        checks.same(f"{what}: header", header_bytes(header), header_bytes(header_of(case["header"])).hex())
        checks.same(f"{what}: block", genesis_block(section, header, nonce), case["block"])
        checks.same(f"{what}: nonce", nonce, case["nonce"])
        checks.same(f"{what}: identity", block_id(seal_hash(header), nonce), case["identity"])
        accounts, _ = genesis_state(section, allocations, first)
        checks.same(f"{what}: allocated", sum(balance for balance, _ in accounts.values()), case["allocated"])
        if "file" in case and tomllib:
            with open(VECTORS.parents[2] / case["file"], "rb") as text:
                of_file = genesis_of_file(tomllib.load(text))
            checks.same(f"{what}: section of the file", section_bytes(of_file[0]), case["section"]["bytes"])
            checks.same(f"{what}: the rest of the file", of_file[1:3], (allocations, first))
            target = expand(first["target"])
            tried = range(2**22) if of_file[3] is None else [of_file[3]]
            seal = seal_hash(header)
            found = next((n for n in tried if int.from_bytes(block_id(seal, n), "big") <= target), None)
            checks.same(f"{what}: nonce of the file", found, case["nonce"])


def check_accounts(checks, what, chain, expected):
    found = [
        {"path": path.hex(), "balance": str(balance), "nonce": str(nonce)}
        for path, (balance, nonce) in sorted(chain.accounts.items())
    ]
    for account in expected:
        address = account["address"]
        if address is not None:
            checks.same(f"{what}: path", account_path(hexed(address)), account["path"])
    checks.same(f"{what}: accounts", found, [{k: it[k] for k in ("path", "balance", "nonce")} for it in expected])


def check_top(checks, what, chain, expected):
    top = history_node(chain.leaves)
    checks.same(f"{what}: blocks", top[1][0], expected["blocks"])
    checks.same(f"{what}: history top", top[0], expected["top_hash"])
    checks.same(f"{what}: history summary", summary_bytes(top[1]), expected["top_summary"])


def check_chain(file, checks):
    for network in file["networks"]:
        name, section = network["name"], section_of(network["section"])
        checks.same(f"{name}: section", section_bytes(section), network["section"]["bytes"])
        read = read_exactly(read_section, section_bytes(section))
        checks.same(f"{name}: section as read", section_bytes(read), network["section"]["bytes"])
        allocations = [(hexed(it["address"]), int(it["balance"]), int(it["nonce"])) for it in network["allocations"]]
        first = {"time_ms": int(network["genesis_header"]["time_ms"]), "producer": ZERO, "reward": 0}
        first["target"] = section["first_target"]
        header = genesis_header(section, allocations, first)
        checks.same(f"{name}: header 0", header_bytes(header), header_bytes(header_of(network["genesis_header"])).hex())
        nonce = int(network["genesis_nonce"])
        checks.same(f"{name}: block 0", genesis_block(section, header, nonce), network["genesis_bytes"])
        chain = Chain(section, allocations, first, header, nonce)
        checks.same(f"{name}: identity", chain.identity, network["identity"])
        met = int.from_bytes(chain.identity, "big") <= expand(header["target"])
        checks.same(f"{name}: block 0 has its work", met, True)
        check_accounts(checks, f"{name} 0", chain, network["genesis_accounts"])
        check_top(checks, f"{name} 0", chain, network["genesis_history_leaf"])
        for expected in network["blocks"]:
            what = f"{name} {expected['header']['height']}"
            try:
                block, moved = chain.judge(hexed(expected["bytes"]))
            except Refused as refused:
                checks.same(f"{what}: rule", refused.rule, None)
                return
            checks.same(f"{what}: header", header_bytes(block["header"]), header_bytes(header_of(expected["header"])).hex())
            checks.same(f"{what}: id", block["id"], expected["id"])
            checks.same(f"{what}: seal hash", seal_hash(block["header"]), expected["seal_hash"])
            ids = [it["id"].hex() for it in block["body"]["transactions"]]
            checks.same(f"{what}: transactions", ids, expected["transactions"])
            for field, value in moved.items():
                checks.same(f"{what}: {field}", value, expected[field])
            check_accounts(checks, what, chain, expected["accounts"])
            check_top(checks, what, chain, expected["history_leaf"])
            checks.same(f"{what}: total work", chain.work, expected["total_work"])
            checks.same(f"{what}: next target", target_text(chain.next_target), expected["next_target"])
            checks.same(f"{what}: next base fee", chain.next_base_fee, expected["next_base_fee"])
            checks.same(f"{what}: next history root", history_root(chain.leaves), expected["next_history_root"])
            checks.same(f"{what}: allowance", allowance(section, block["header"]), expected["future_allowance_ms"])
        for case in network["refused"]:
            what = f"{name}: {case['what']}"
            checks.same(f"{what}: parent", chain.tip_id, case["parent"])
            checks.same(f"{what}: height", chain.tip["height"] + 1, case["height"])
            rule = rule_of(lambda: chain.judge(hexed(case["bytes"])))
            checks.same(f"{what}: rule", rule, case["rule"])
            checks.same(f"{what}: condemns", rule not in CONDEMNS_NOTHING, case["condemns_id"])


def check_wire(file, checks):
    for case in file["names"]:
        checks.same("name", multistream(case["name"]), case["bytes"])
    for case in file["nodes"]:
        checks.same("node", peer_id(hexed(case["public_key"])), case["text"])
    for case in file["certificates"]:
        checks.same(case["what"], node_of_certificate(hexed(case["bytes"])), case["node"])
    for case in file["refused_certificates"]:
        checks.same(case["what"], rule_of(lambda: node_of_certificate(hexed(case["bytes"]))), case["fault"])
    for case in file["frames"]:
        checks.same("frame", frame_bytes(case["tag"], hexed(case["body"])), case["bytes"])
    for case in file["frame_heads"]:
        try:
            verdict = head_verdict(case["stream"], hexed(case["head"]))
        except Refused as refused:
            verdict = refused.rule
        checks.same(f"head {case['head']}", verdict, case["verdict"])
    for case in file["messages"]:
        checks.same("body", written_link_message(case["tag"], case["content"]), case["body"])
    for case in file["messages"] + file["read_messages"]:
        checks.same("message", read_link_message(case["tag"], hexed(case["body"])), case["content"])
    for case in file["refused_messages"]:
        rule = rule_of(lambda: read_link_message(case["tag"], hexed(case["body"])))
        checks.same(f"message {case['body'][:40]}", rule, case["rule"])


def check_messages(file, checks):
    # The test value of the paper: bytes 0, 1, 2, … as key and as fifteen bytes of text.
    k0, k1 = (int.from_bytes(bytes(range(at, at + 8)), "little") for at in (0, 8))
    checks.same("SipHash-2-4", siphash_2_4(k0, k1, bytes(range(15))), str(0xA129CA6149BE45E5))
    limits = [(it["tag"], it["stream"], it["body_bytes_max"]) for it in file["tags"]]
    checks.same("tags", limits, [(name, stream, most) for stream, of in BODY_BYTES_MAX.items() for name, most in of.items()])
    checks.same("a message of each tag", {case["tag"] for case in file["messages"]}, set(MESSAGES))
    for case in file["messages"]:
        what = f"{case['tag']}, {case['what']}"
        checks.same(f"{what}: as read", read_message(case["tag"], hexed(case["body"])), case["fields"])
        checks.same(f"{what}: as written", write_message(case["tag"], case["fields"]), case["body"])
    for case in file["other_forms"]:
        what = f"{case['tag']}, {case['what']}"
        checks.same(f"{what}: as read", read_message(case["tag"], hexed(case["body"])), case["fields"])
        checks.same(f"{what}: as written", write_message(case["tag"], case["fields"]), case["shortest"])
    for case in file["refused"]:
        rule = rule_of(lambda: read_message(case["tag"], hexed(case["body"])))
        checks.same(f"{case['tag']}, {case['what']}", rule, case["rule"])
    for case in file["in_short"]:
        what, salt = f"{case['what']}, salt {case['salt']}", int(case["salt"])
        block = read_exactly(read_block, hexed(case["block"]))
        key = H("SHORT_ID", seal_hash(block["header"]), u(64, salt))
        leaves = [describe(it, hexed(case["identity"]))["leaf"] for it in block["body"]["transactions"]]
        short_ids = [short_id(key, leaf).hex() for leaf in leaves]
        certificate = block["body"]["certificate"]
        fields = {
            "header": (header_bytes(block["header"]) + block["seal"]["bytes"]).hex(),
            "salt": str(salt),
            "certificate": certificate["bytes"].hex() if certificate else "",
            "extra": block["body"]["extra"].hex(),
            "short_ids": short_ids,
        }
        checks.same(f"{what}: key", key, case["key"])
        checks.same(f"{what}: leaves", [leaf.hex() for leaf in leaves], case["leaves"])
        checks.same(f"{what}: short ids", short_ids, case["short_ids"])
        checks.same(f"{what}: body", write_message("CMP", fields), case["body"])


# ---- Files of others -----------------------------------------------------------------------------


def check_sealed(what, case, kind, opened, checks):
    file = json.loads(case["file"])
    seal = file["seal"]
    data = seal_data(kind, seal, opened(file))
    # Argon2 is not in the standard library: the file tells the key that it makes.
    body = xchacha_seal(hexed(case["key"]), hexed(seal["nonce"]), data, hexed(case["plaintext"]))
    checks.same(f"body of {what}", base64.b64encode(body).decode(), seal["body"])
    checks.same(f"checksum of {what}", sha256(data + body), file["checksum"])


def check_wallet(file, checks):
    seed = phrase_seed(file["phrase"]["words"], file["phrase"]["passphrase"])
    checks.same("seed", seed, file["phrase"]["seed"])
    for account in file["accounts"]:
        key_seed = derive(seed, account["path"])
        checks.same("key seed", key_seed, account["key_seed"])
        checks.same("public key", public_key_of(key_seed), account["public_key"])
        checks.same("address", address_of(1, hexed(account["public_key"])), account["address"])
    imported = [hexed(text) for text in file["imported"]]
    plain = b"\1" + byte_string(hexed(file["phrase"]["entropy"])) + seed
    plain += u(32, len(imported)) + b"".join(imported)
    checks.same("plaintext of the keystore", plain, file["keystore"]["plaintext"])
    accounts = accounts_open(json.loads(file["keystore"]["file"])["accounts"])
    check_sealed("the keystore", file["keystore"], b"cairn/keystore/1", lambda _: accounts, checks)
    plain += accounts + byte_string(file["backup"]["book"].encode())
    checks.same("plaintext of the backup", plain, file["backup"]["plaintext"])
    check_sealed("the backup", file["backup"], b"cairn/backup/1", lambda _: b"", checks)
    for case in file["messages"]:
        signed = b"cairn/message/1\0" + hexed(case["identity"]) + case["text"].encode()
        checks.same("signed bytes", signed, case["signed"])
        witness = read_exactly(read_witness, hexed(case["signature"]))
        checks.same("signer", witness["address"], case["signer"])
        verdict = ed25519_verify(hexed(case["signature"])[1:33], hexed(case["signature"])[33:], signed)
        checks.same("signature", verdict, True)
    for case in file["links"]:
        scheme, _, rest = case["link"].partition(":")
        address, _, query = rest.partition("?")
        checks.same("scheme", scheme.lower(), "cairn")
        checks.same("address", address_from_text(address, case["prefix"]), case["to"])
        found = {key.lower(): value for key, value in
                 ((urllib.parse.unquote(part) for part in pair.split("=")) for pair in query.split("&") if pair)}
        for field in ("label", "message"):
            checks.same(field, found.get(field), case[field])
        amount = found.get("amount")
        if amount is not None:
            whole, _, part = amount.partition(".")
            amount = str(int(whole + part.ljust(case["decimals"], "0")))
        checks.same("amount", amount, case["amount"])


def check_rfc8032(file, checks):
    for case in file["vectors"]:
        verdict = ed25519_verify(*(hexed(case[field]) for field in ("public", "signature", "message")))
        checks.same(case["name"], verdict, True)


def check_speccheck(file, checks):
    for number, case in enumerate(file):
        verdict = ed25519_verify(*(hexed(case[field]) for field in ("pub_key", "signature", "message")))
        checks.same(f"case {number}", verdict, number not in (6, 7, 8))


def check_small_order(file, checks):
    for case in file["cases"]:
        checks.same("case", ed25519_verify(hexed(case["public"]), hexed(case["signature"]), b"Zcash"), True)


def check_wycheproof(file, checks):
    for group in file["testGroups"]:
        for test in group["tests"]:
            verdict = ed25519_verify(hexed(group["publicKey"]["pk"]), hexed(test["sig"]), hexed(test["msg"]))
            checks.same(f"test {test['tcId']}", verdict, test["result"] == "valid")


def check_bech32m(file, checks):
    for text in file["valid_bech32m"]:
        decoded = bech32m_decode(text)
        checks.same(text, decoded is not None and decoded[2], True)
    for case in file["invalid_bech32m"]:
        decoded = bech32m_decode(case["string"])
        checks.same(case["string"], decoded is not None and decoded[2], False)


def check_nbits(file, checks):
    for case in file["cases"]:
        value = expand(int(case["bits"], 16))
        checks.same(case["bits"], value is not None, case["valid_pow_target"])
        if value is not None:
            checks.same(case["bits"], f"{value:064x}", case["target"])


def check_relative_asert(file, checks):
    for chain in file["chains"]:
        limit = int(chain["limit"], 16)
        for step in chain["steps"]:
            parent, solve_time = expand(int(step["parent_bits"], 16)), step["solve_time_ms"]
            bits = next_target(chain["interval_ms"], chain["half_life_ms"], limit, parent, solve_time)
            checks.same("next bits", target_text(bits), step["next_bits"])
            checks.same("next target", f"{expand(bits):064x}", step["next_target"])
            checks.same("next work", work(expand(bits)), step["next_work"])


def check_invites(file, checks):
    for case in file["valid"]:
        told = [
            (bytes.fromhex(it["node"]) if it["node"] else None, it["host"], it["port"]) for it in case["addresses"]
        ]
        identity = bytes.fromhex(case["identity"])
        data = invite_bytes(identity, case["name"], told)
        checks.same("bytes", data.hex(), case["bytes"])
        checks.same("text", bech32m_encode(INVITE_PREFIX, data), case["text"])
        checks.same("read", read_invite(case["text"]), (identity, case["name"], told))
    for case in file["refused"]:
        checks.same(case["text"][:40], rule_of(lambda text=case["text"]: read_invite(text)), case["why"])


FILES = {
    "bytes.json": check_bytes,
    "keys.json": check_keys,
    "transactions.json": check_transactions,
    "merkle.json": check_merkle,
    "state.json": check_state,
    "blocks.json": check_blocks,
    "work.json": check_work,
    "economy.json": check_economy,
    "history.json": check_history,
    "genesis.json": check_genesis,
    "chain.json": check_chain,
    "wire.json": check_wire,
    "messages.json": check_messages,
    "wallet.json": check_wallet,
    "invites.json": check_invites,
    "external/ed25519/rfc8032.json": check_rfc8032,
    "external/ed25519/speccheck_cases.json": check_speccheck,
    "external/ed25519/zip215_small_order_196.json": check_small_order,
    "external/wycheproof/ed25519_test.json": check_wycheproof,
    "external/bip350/bech32m.json": check_bech32m,
    "external/difficulty/bitcoin_nbits.json": check_nbits,
    "external/difficulty/relative_asert.json": check_relative_asert,
}


def load(name):
    with open(VECTORS / name, encoding="utf-8") as file:
        return json.load(file)


def main():
    wrong = False
    for name, check in FILES.items():
        checks = Checks()
        check(load(name), checks)
        verdict = f"{len(checks.differences)} differ" if checks.differences else "agree"
        print(f"{name}: {checks.count} values, {verdict}")
        for difference in checks.differences[:20]:
            print(f"  {difference}")
        wrong = wrong or bool(checks.differences) or checks.count == 0
    unread = sorted(path.name for path in VECTORS.glob("*.json") if path.name not in FILES)
    for name in unread:
        print(f"{name}: nobody checks it")
    return 1 if wrong or unread else 0


if __name__ == "__main__":
    sys.exit(main())
