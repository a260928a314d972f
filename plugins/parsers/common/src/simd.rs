//! Sixteen bytes at a time: SIMD of 128 bits in WebAssembly and on x86-64, plain code elsewhere.
#![cfg_attr(
    any(all(target_arch = "wasm32", target_feature = "simd128"), target_arch = "x86_64"),
    expect(
        unsafe_code,
        reason = "loads of 16 bytes from arrays of 16 bytes, and SSE2, which every x86-64 has"
    )
)]

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod imp {
    use core::arch::wasm32::{i8x16_bitmask, i8x16_eq, u8x16_min, u8x16_splat, v128, v128_load};

    #[derive(Clone, Copy)]
    pub struct Block(v128);

    impl Block {
        #[inline]
        pub fn new(bytes: &[u8; 16]) -> Self {
            // SAFETY: the array has the 16 bytes that are read; any alignment is allowed.
            Self(unsafe { v128_load(bytes.as_ptr().cast()) })
        }
        #[inline]
        pub fn eq(self, byte: u8) -> u32 {
            u32::from(i8x16_bitmask(i8x16_eq(self.0, u8x16_splat(byte))))
        }
        #[inline]
        pub fn same(self, other: Self) -> u32 {
            u32::from(i8x16_bitmask(i8x16_eq(self.0, other.0)))
        }
        /// `"`, `\` or below 0x20.
        #[inline]
        pub fn json_special(self) -> u32 {
            use core::arch::wasm32::v128_or;
            let quote = i8x16_eq(self.0, u8x16_splat(b'"'));
            let slash = i8x16_eq(self.0, u8x16_splat(b'\\'));
            let control = i8x16_eq(u8x16_min(self.0, u8x16_splat(0x1f)), self.0);
            u32::from(i8x16_bitmask(v128_or(v128_or(quote, slash), control)))
        }
        #[inline]
        pub fn eq_either(self, a: u8, b: u8) -> u32 {
            use core::arch::wasm32::v128_or;
            let a = i8x16_eq(self.0, u8x16_splat(a));
            u32::from(i8x16_bitmask(v128_or(a, i8x16_eq(self.0, u8x16_splat(b)))))
        }
        /// Bytes of 0x80 and above.
        #[inline]
        pub fn high(self) -> u32 {
            u32::from(i8x16_bitmask(self.0))
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod imp {
    use core::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128,
        _mm_set1_epi8,
    };

    #[derive(Clone, Copy)]
    pub struct Block(__m128i);

    impl Block {
        #[inline]
        pub fn new(bytes: &[u8; 16]) -> Self {
            // SAFETY: the array has the 16 bytes that are read; any alignment is allowed.
            Self(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
        }
        #[inline]
        pub fn eq(self, byte: u8) -> u32 {
            self.equal(byte).mask()
        }
        #[inline]
        pub fn same(self, other: Self) -> u32 {
            // SAFETY: SSE2 is part of every x86-64.
            Self(unsafe { _mm_cmpeq_epi8(self.0, other.0) }).mask()
        }
        #[inline]
        pub fn json_special(self) -> u32 {
            let control = Self(
                // SAFETY: as above.
                unsafe { _mm_cmpeq_epi8(_mm_min_epu8(self.0, _mm_set1_epi8(0x1f)), self.0) },
            );
            self.equal(b'"').or(self.equal(b'\\')).or(control).mask()
        }
        #[inline]
        pub fn eq_either(self, a: u8, b: u8) -> u32 {
            self.equal(a).or(self.equal(b)).mask()
        }
        #[inline]
        pub fn high(self) -> u32 {
            self.mask()
        }
        #[inline]
        fn equal(self, byte: u8) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm_cmpeq_epi8(self.0, _mm_set1_epi8(i8::from_ne_bytes([byte]))) })
        }
        #[inline]
        fn or(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm_or_si128(self.0, other.0) })
        }
        #[inline]
        fn mask(self) -> u32 {
            // SAFETY: as above.
            u32::from_ne_bytes(unsafe { _mm_movemask_epi8(self.0) }.to_ne_bytes())
        }
    }
}

#[cfg(not(any(all(target_arch = "wasm32", target_feature = "simd128"), target_arch = "x86_64")))]
mod imp {
    #[derive(Clone, Copy)]
    pub struct Block([u8; 16]);

    impl Block {
        #[inline]
        fn each(self, test: impl Fn(usize, u8) -> bool) -> u32 {
            self.0.iter().enumerate().fold(0, |mask, (i, &b)| mask | u32::from(test(i, b)) << i)
        }
        #[inline]
        pub fn new(bytes: &[u8; 16]) -> Self {
            Self(*bytes)
        }
        #[inline]
        pub fn eq(self, byte: u8) -> u32 {
            self.each(|_, b| b == byte)
        }
        #[inline]
        pub fn same(self, other: Self) -> u32 {
            self.each(|i, b| other.0.get(i) == Some(&b))
        }
        #[inline]
        pub fn json_special(self) -> u32 {
            self.each(|_, b| b == b'"' || b == b'\\' || b < 0x20)
        }
        #[inline]
        pub fn eq_either(self, a: u8, b: u8) -> u32 {
            self.each(|_, x| x == a || x == b)
        }
        #[inline]
        pub fn high(self) -> u32 {
            self.each(|_, b| b >= 0x80)
        }
    }
}

pub(crate) use imp::Block;
