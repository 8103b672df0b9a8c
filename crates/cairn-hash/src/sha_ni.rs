//! SHA-256 with the SHA extensions of x86-64, two messages at a time.
//!
//! One instruction does two rounds, and the next has to wait for it; the rounds of a second message
//! fill the wait. The state of a message lies in two registers, `ABEF` and `CDGH`, from the highest
//! word to the lowest, and four words of the message in one, the first of them lowest.

#![allow(unsafe_code, reason = "each use says why it is sound")]

mod work;

use crate::block::{BLOCK_BYTES, Blocks, to_hash};
use crate::constants::{FIRST_STATE, K};
use crate::work::fixed::Fixed;
use std::arch::x86_64::*;
use std::hint::black_box;
use std::ops::Range;

/// How many messages are hashed at once.
const COUNT: usize = 2;

/// The proof that this processor has the SHA extensions, and SSSE3 and SSE4.1 beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShaNi(());

impl ShaNi {
    /// None where the processor has no such instructions.
    pub(crate) fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("sha")
            && is_x86_feature_detected!("ssse3")
            && is_x86_feature_detected!("sse4.1");
        found.then_some(Self(()))
    }

    /// Hashes the first messages of `blocks`, one for each of `out`.
    pub(crate) fn hash_padded(self, blocks: &[Blocks], out: &mut [[u8; 32]]) {
        for (index, out) in out.chunks_mut(COUNT).enumerate() {
            // SAFETY: `self` is the proof that the processor has all three.
            let hashes = unsafe { hash_two(blocks, index) };
            out.copy_from_slice(&hashes[..out.len()]);
        }
    }

    /// The first nonce in `nonces` whose work hash begins with a word of at most `limit`.
    ///
    /// All of `nonces` have the upper half that `fixed` is for.
    pub(crate) fn find(self, fixed: &Fixed, limit: u32, nonces: Range<u64>) -> Option<u64> {
        // SAFETY: as above.
        unsafe { work::find(fixed, limit, nonces) }
    }
}

/// The state of each message.
type States = [State; COUNT];

#[derive(Clone, Copy)]
struct State {
    abef: __m128i,
    cdgh: __m128i,
}

/// Four words of each message.
type Quads = [__m128i; COUNT];

#[target_feature(enable = "sha,ssse3,sse4.1")]
fn hash_two(blocks: &[Blocks], index: usize) -> [[u8; 32]; COUNT] {
    let mut states = [pack(&FIRST_STATE); COUNT];
    for block in blocks {
        let [first, second] = block.as_chunks::<COUNT>().0[index];
        compress(&mut states, [load_words(&first), load_words(&second)]);
    }
    states.map(|state| {
        let [first, last] = unpack(state).map(|quad| to_words(quad));
        to_hash(&std::array::from_fn(|i| if i < 4 { first[i] } else { last[i - 4] }))
    })
}

/// One compression of each message (FIPS 180-4 §6.2.2).
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn compress(states: &mut States, words: [[__m128i; 4]; COUNT]) {
    let before = *states;
    let last: [Quads; 4] = std::array::from_fn(|quad| std::array::from_fn(|lane| words[lane][quad]));
    for (words, t) in last.iter().zip([0, 4, 8, 12]) {
        four_rounds(states, *words, t);
    }
    rounds_from(states, last, 16);
    for lane in 0..COUNT {
        states[lane] = add_states(states[lane], before[lane]);
    }
}

/// Rounds `t` to `t + 3`.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn four_rounds(states: &mut States, words: Quads, t: usize) {
    let constants = four_of(&K, t);
    for lane in 0..COUNT {
        states[lane] = rounds(states[lane], _mm_add_epi32(words[lane], constants));
    }
}

/// Rounds `t` to 63; `last` are the sixteen words before `t`.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn rounds_from(states: &mut States, mut last: [Quads; 4], t: usize) {
    // Where the compiler knows the number of steps it unrolls them and puts the messages one behind
    // the other, and the instructions of one wait for each other: an eighth slower.
    for t in (t..black_box(K.len())).step_by(4) {
        let [w0, w1, w2, w3] = last;
        let next = next_words(w0, w1, w2, w3);
        four_rounds(states, next, t);
        last = [w1, w2, w3, next];
    }
}

/// Four rounds, given the sums of their constants and words.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn rounds(State { abef, cdgh }: State, sums: __m128i) -> State {
    // Two rounds on, what was A, B, E, F is C, D, G, H.
    let middle = _mm_sha256rnds2_epu32(cdgh, abef, sums);
    let last = _mm_sha256rnds2_epu32(abef, middle, _mm_shuffle_epi32::<0x0e>(sums));
    State { abef: last, cdgh: middle }
}

/// The next four words of the schedule, from the sixteen before.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn next_words(w0: Quads, w1: Quads, w2: Quads, w3: Quads) -> Quads {
    let mut early = w0;
    for lane in 0..COUNT {
        early[lane] = _mm_sha256msg1_epu32(w0[lane], w1[lane]);
    }
    finish_words(early, w2, w3)
}

/// The next four words of the schedule, from the eight before and `early`, the sums of the two words
/// further back: w(t-16) + σ0(w(t-15)).
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn finish_words(early: Quads, w2: Quads, w3: Quads) -> Quads {
    let mut next = early;
    for lane in 0..COUNT {
        // The words t-7 to t-4 lie across two registers.
        let seven_back = _mm_alignr_epi8::<4>(w3[lane], w2[lane]);
        next[lane] = _mm_sha256msg2_epu32(_mm_add_epi32(early[lane], seven_back), w3[lane]);
    }
    next
}

#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn add_states(a: State, b: State) -> State {
    State { abef: _mm_add_epi32(a.abef, b.abef), cdgh: _mm_add_epi32(a.cdgh, b.cdgh) }
}

#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn pack(&[a, b, c, d, e, f, g, h]: &[u32; 8]) -> State {
    State { abef: quad([f, e, b, a]), cdgh: quad([h, g, d, c]) }
}

/// The words A to D and E to H.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn unpack(State { abef, cdgh }: State) -> [__m128i; 2] {
    let abef = _mm_shuffle_epi32::<0x1b>(abef);
    let ghcd = _mm_shuffle_epi32::<0xb1>(cdgh);
    [_mm_blend_epi16::<0xf0>(abef, ghcd), _mm_alignr_epi8::<8>(ghcd, abef)]
}

#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn quad([w0, w1, w2, w3]: [u32; 4]) -> __m128i {
    _mm_setr_epi32(w0.cast_signed(), w1.cast_signed(), w2.cast_signed(), w3.cast_signed())
}

#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn load_words(block: &[u8; BLOCK_BYTES]) -> [__m128i; 4] {
    let swap = _mm_set_epi32(0x0c0d_0e0f, 0x0809_0a0b, 0x0405_0607, 0x0001_0203);
    let quads = block.as_chunks::<16>().0;
    std::array::from_fn(|i| _mm_shuffle_epi8(from_bytes(quads[i]), swap))
}

#[inline]
#[target_feature(enable = "sse2")]
fn from_bytes(bytes: [u8; 16]) -> __m128i {
    // SAFETY: both have 16 bytes, and every pattern of bits is a value of a register.
    unsafe { std::mem::transmute::<[u8; 16], __m128i>(bytes) }
}

#[inline]
#[target_feature(enable = "sse2")]
fn to_words(register: __m128i) -> [u32; 4] {
    // SAFETY: both have 16 bytes, and every pattern of bits is four numbers.
    unsafe { std::mem::transmute::<__m128i, [u32; 4]>(register) }
}

/// Words `t` to `t + 3`.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn four_of(words: &[u32; 64], t: usize) -> __m128i {
    quad([words[t], words[t + 1], words[t + 2], words[t + 3]])
}
