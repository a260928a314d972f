//! Sixteen bytes at a time: SIMD of 128 bits in WebAssembly and on x86-64, plain code elsewhere.
#![cfg_attr(
    any(all(target_arch = "wasm32", target_feature = "simd128"), target_arch = "x86_64"),
    expect(
        unsafe_code,
        reason = "loads of 16 bytes from where there are as many, and SSE2, which every x86-64 has"
    )
)]

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod imp {
    use core::arch::wasm32::{i8x16_bitmask, i8x16_eq, u8x16_min, u8x16_splat, v128, v128_load};

    #[derive(Clone, Copy)]
    pub struct Block(v128);

    impl Block {
        #[inline(always)]
        pub fn new(bytes: &[u8; 16]) -> Self {
            // SAFETY: the array has the 16 bytes that are read; any alignment is allowed.
            Self(unsafe { v128_load(bytes.as_ptr().cast()) })
        }
        /// The bytes from `at` on, when there are 16. One comparison, as the left side does not
        /// change from call to call.
        #[inline(always)]
        pub fn at(data: &[u8], at: usize) -> Option<Self> {
            if data.len().checked_sub(16)? < at {
                return None;
            }
            // SAFETY: `at + 16` is at most the slice's length; any alignment is allowed.
            Some(Self(unsafe { v128_load(data.as_ptr().add(at).cast()) }))
        }
        /// The first and the last eight bytes.
        #[inline(always)]
        pub fn words(self) -> [u64; 2] {
            use core::arch::wasm32::u64x2_extract_lane;
            [u64x2_extract_lane::<0>(self.0), u64x2_extract_lane::<1>(self.0)]
        }
        #[inline(always)]
        pub fn eq(self, byte: u8) -> u32 {
            u32::from(i8x16_bitmask(i8x16_eq(self.0, u8x16_splat(byte))))
        }
        #[inline(always)]
        pub fn same(self, other: Self) -> u32 {
            u32::from(i8x16_bitmask(i8x16_eq(self.0, other.0)))
        }
        /// The same bytes as in one or the other.
        #[inline(always)]
        pub fn same_either(self, one: Self, other: Self) -> u32 {
            use core::arch::wasm32::v128_or;
            let other = i8x16_eq(self.0, other.0);
            u32::from(i8x16_bitmask(v128_or(i8x16_eq(self.0, one.0), other)))
        }
        /// `"`, `\` or below 0x20.
        #[inline(always)]
        pub fn json_special(self) -> u32 {
            use core::arch::wasm32::v128_or;
            let quote = i8x16_eq(self.0, u8x16_splat(b'"'));
            let slash = i8x16_eq(self.0, u8x16_splat(b'\\'));
            let control = i8x16_eq(u8x16_min(self.0, u8x16_splat(0x1f)), self.0);
            u32::from(i8x16_bitmask(v128_or(v128_or(quote, slash), control)))
        }
        #[inline(always)]
        pub fn eq_either(self, a: u8, b: u8) -> u32 {
            use core::arch::wasm32::v128_or;
            let a = i8x16_eq(self.0, u8x16_splat(a));
            u32::from(i8x16_bitmask(v128_or(a, i8x16_eq(self.0, u8x16_splat(b)))))
        }
        /// Digits.
        #[inline(always)]
        pub fn digits(self) -> u32 {
            use core::arch::wasm32::i8x16_sub;
            let from_zero = i8x16_sub(self.0, u8x16_splat(b'0'));
            u32::from(i8x16_bitmask(i8x16_eq(u8x16_min(from_zero, u8x16_splat(9)), from_zero)))
        }
        /// Bytes of 0x80 and above.
        #[inline(always)]
        pub fn high(self) -> u32 {
            u32::from(i8x16_bitmask(self.0))
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod imp {
    use core::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_cvtsi128_si64, _mm_loadu_si128, _mm_min_epu8,
        _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8, _mm_sub_epi8, _mm_unpackhi_epi64,
    };

    #[derive(Clone, Copy)]
    pub struct Block(__m128i);

    impl Block {
        #[inline(always)]
        pub fn new(bytes: &[u8; 16]) -> Self {
            // SAFETY: the array has the 16 bytes that are read; any alignment is allowed.
            Self(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
        }
        #[inline(always)]
        pub fn at(data: &[u8], at: usize) -> Option<Self> {
            if data.len().checked_sub(16)? < at {
                return None;
            }
            // SAFETY: `at + 16` is at most the slice's length; any alignment is allowed.
            Some(Self(unsafe { _mm_loadu_si128(data.as_ptr().add(at).cast()) }))
        }
        #[inline(always)]
        pub fn words(self) -> [u64; 2] {
            // SAFETY: SSE2 is part of every x86-64.
            let words = unsafe {
                [_mm_cvtsi128_si64(self.0), _mm_cvtsi128_si64(_mm_unpackhi_epi64(self.0, self.0))]
            };
            words.map(i64::cast_unsigned)
        }
        #[inline(always)]
        pub fn eq(self, byte: u8) -> u32 {
            self.equal(byte).mask()
        }
        #[inline(always)]
        pub fn same(self, other: Self) -> u32 {
            // SAFETY: SSE2 is part of every x86-64.
            Self(unsafe { _mm_cmpeq_epi8(self.0, other.0) }).mask()
        }
        #[inline(always)]
        pub fn same_either(self, one: Self, other: Self) -> u32 {
            // SAFETY: as above.
            let [one, other] = [one, other].map(|b| Self(unsafe { _mm_cmpeq_epi8(self.0, b.0) }));
            one.or(other).mask()
        }
        #[inline(always)]
        pub fn json_special(self) -> u32 {
            let control = Self(
                // SAFETY: as above.
                unsafe { _mm_cmpeq_epi8(_mm_min_epu8(self.0, _mm_set1_epi8(0x1f)), self.0) },
            );
            self.equal(b'"').or(self.equal(b'\\')).or(control).mask()
        }
        #[inline(always)]
        pub fn eq_either(self, a: u8, b: u8) -> u32 {
            self.equal(a).or(self.equal(b)).mask()
        }
        #[inline(always)]
        pub fn digits(self) -> u32 {
            // SAFETY: as above.
            Self(unsafe {
                let from_zero = _mm_sub_epi8(self.0, _mm_set1_epi8(0x30));
                _mm_cmpeq_epi8(_mm_min_epu8(from_zero, _mm_set1_epi8(9)), from_zero)
            })
            .mask()
        }
        #[inline(always)]
        pub fn high(self) -> u32 {
            self.mask()
        }
        #[inline(always)]
        fn equal(self, byte: u8) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm_cmpeq_epi8(self.0, _mm_set1_epi8(i8::from_ne_bytes([byte]))) })
        }
        #[inline(always)]
        fn or(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm_or_si128(self.0, other.0) })
        }
        #[inline(always)]
        fn mask(self) -> u32 {
            // SAFETY: as above.
            u32::from_ne_bytes(unsafe { _mm_movemask_epi8(self.0) }.to_ne_bytes())
        }
    }
}

/// The same in plain code. Tests compare it with the others.
#[cfg(any(
    test,
    not(any(all(target_arch = "wasm32", target_feature = "simd128"), target_arch = "x86_64"))
))]
mod plain {
    #[derive(Clone, Copy)]
    pub struct Block([u8; 16]);

    impl Block {
        #[inline(always)]
        fn each(self, test: impl Fn(usize, u8) -> bool) -> u32 {
            self.0.iter().enumerate().fold(0, |mask, (i, &b)| mask | u32::from(test(i, b)) << i)
        }
        #[inline(always)]
        pub fn new(bytes: &[u8; 16]) -> Self {
            Self(*bytes)
        }
        #[inline]
        pub fn at(data: &[u8], at: usize) -> Option<Self> {
            data.get(at..)?.first_chunk().map(Self::new)
        }
        #[inline]
        pub fn words(self) -> [u64; 2] {
            let (words, _) = self.0.as_chunks::<8>();
            [0, 1].map(|i| words.get(i).map_or(0, |word| u64::from_le_bytes(*word)))
        }
        #[inline(always)]
        pub fn eq(self, byte: u8) -> u32 {
            self.each(|_, b| b == byte)
        }
        #[inline(always)]
        pub fn same(self, other: Self) -> u32 {
            self.each(|i, b| other.0.get(i) == Some(&b))
        }
        #[inline(always)]
        pub fn same_either(self, one: Self, other: Self) -> u32 {
            self.same(one) | self.same(other)
        }
        #[inline(always)]
        pub fn json_special(self) -> u32 {
            self.each(|_, b| b == b'"' || b == b'\\' || b < 0x20)
        }
        #[inline(always)]
        pub fn eq_either(self, a: u8, b: u8) -> u32 {
            self.each(|_, x| x == a || x == b)
        }
        #[inline(always)]
        pub fn digits(self) -> u32 {
            self.each(|_, b| b.is_ascii_digit())
        }
        #[inline]
        pub fn high(self) -> u32 {
            self.each(|_, b| b >= 0x80)
        }
    }
}

#[cfg(any(all(target_arch = "wasm32", target_feature = "simd128"), target_arch = "x86_64"))]
pub(crate) use imp::Block;
#[cfg(not(any(
    all(target_arch = "wasm32", target_feature = "simd128"),
    target_arch = "x86_64"
)))]
pub(crate) use plain::Block;

#[cfg(test)]
mod tests {
    use super::{imp, plain};

    /// Every method of the block at `at`, by both implementations.
    macro_rules! answers {
        ($imp:ident, $data:expr, $at:expr) => {{
            $imp::Block::at($data, $at).map(|block| {
                let zeros = $imp::Block::new(b"0000000000000000");
                let quotes = $imp::Block::new(&[b'"'; 16]);
                (
                    block.words(),
                    [
                        block.eq(b'"'),
                        block.same(zeros),
                        block.same_either(zeros, quotes),
                        block.json_special(),
                        block.eq_either(b'0', b'"'),
                        block.digits(),
                        block.high(),
                    ],
                )
            })
        }};
    }

    #[test]
    fn plain_code_answers_as_simd_does() {
        // Every byte, at every place of a block, with others beside it.
        let data: Vec<u8> =
            (0..=u8::MAX).chain(*b"0123456789\"\"\\/:\x1f\x20\x7f\x80\xff").collect();
        for at in 0..data.len() + 2 {
            assert_eq!(answers!(imp, &data, at), answers!(plain, &data, at), "at {at}");
        }
    }
}
