//! What has been learned of the records' shape.
//!
//! Records of one stream mostly have the same keys in the same order, written with the same
//! spacing. So a record is seen as values with *glue* between them:
//!
//! ```text
//! {"ts":1700,"service":"a"}
//! ^^^^^^    ^^^^^^^^^^^^ ^^     glue; the quotation mark that opens a string is part of it
//! ```
//!
//! A step is a piece of glue and what to do with the value behind it. Each step knows the two
//! steps that came behind it last; a record is walked along them with one comparison a key. Glue
//! is only ever learned from a record that was read character by character up to there, so what
//! matches it is as valid as that was. When neither step fits, the general way reads the member,
//! and learns. What is parsed never depends on what was learned.

use millstream_parser_common::scan::{Glue, MAX_GLUE};
use millstream_parser_common::time::EpochScale;

use crate::tree::NONE;

/// The step before the first.
pub const START: u32 = 0;
/// Steps that can be learned, and the first two. A number of eight bits names one, so that none
/// has to be checked.
const STEPS: usize = 256;
/// The step that fits nowhere.
const NEVER: u8 = 255;
/// Where the numbers of mere places start.
const PLACES: u32 = 256;

/// What to do with a value; a sum of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Op(u32);

impl Op {
    /// A value that the general way reads.
    pub const GENERAL: Self = Self(0);
    /// A string; the glue has its quotation mark.
    pub const STRING: Self = Self(1);
    /// A number.
    pub const NUMBER: Self = Self(2);
    /// The value goes to a column.
    pub const WRITE: Self = Self(4);
    /// The glue is the record's end.
    pub const END: Self = Self(8);
    /// The glue opens an object that columns look into.
    pub const ENTER: Self = Self(16);

    /// A time in quotation marks, which go with the glue; not for the innermost loop.
    pub const TIME: Self = Self(32);

    /// Bytes of the value that go with the glue.
    pub const fn quote(self) -> usize {
        if self.has(Self::STRING.and(Self::TIME)) { 1 } else { 0 }
    }

    /// Both.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether any of `other` is in it.
    #[inline(always)]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// A piece of glue and the value behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub glue: Glue,
    pub op: Op,
    /// The column that is written.
    pub column: u32,
    /// The key in its object, or none that a column names.
    pub key: u32,
    /// The object that the key is in.
    pub node: u32,
    /// The outermost object that the glue opens.
    pub enters: u32,
    /// For integers that are times.
    pub epoch: EpochScale,
    /// The step that came behind it last.
    pub next: u8,
    /// The one that did before.
    pub other: u8,
}

impl Step {
    /// A step that no guess leads on from.
    pub fn new(glue: Glue, op: Op, node: u32) -> Self {
        Self {
            glue,
            op,
            column: NONE,
            key: NONE,
            node,
            enters: NONE,
            epoch: EpochScale::default(),
            next: NEVER,
            other: NEVER,
        }
    }
}

/// The steps.
#[derive(Debug)]
pub struct Shape {
    steps: Box<[Step; STEPS]>,
    learned: usize,
}

impl Shape {
    /// Nothing is known yet.
    pub fn new() -> Self {
        let never = Step::new(Glue::never(), Op::GENERAL, 0);
        Self { steps: Box::new(core::array::from_fn(|_| never.clone())), learned: 1 }
    }

    /// The number of a place in an object, of which nothing more is known: no step goes on from it.
    pub fn place(node: u32) -> u32 {
        node.saturating_add(PLACES)
    }

    /// The object that `step` is in.
    pub fn node(&self, step: u32) -> u32 {
        match u8::try_from(step) {
            Ok(step) => self.step(step).node,
            Err(_) => step.saturating_sub(PLACES),
        }
    }

    /// A step.
    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "there is one for every number of eight bits")]
    pub fn step(&self, number: u8) -> &Step {
        &self.steps[usize::from(number)]
    }

    /// Learns that `step` came behind `from`; returns where the walk is now.
    pub fn learn(&mut self, from: u32, step: Step) -> u32 {
        let place = Self::place(step.node);
        let same = |s: &Step| {
            s.glue == step.glue && s.op == step.op && s.node == step.node && s.key == step.key
        };
        let found = match self.steps.iter().take(self.learned).skip(1).position(same) {
            Some(at) => at + 1,
            None if self.learned < usize::from(NEVER) => {
                let Some(free) = self.steps.get_mut(self.learned) else { return place };
                *free = step;
                self.learned += 1;
                self.learned - 1
            }
            None => return place,
        };
        let Ok(found) = u8::try_from(found) else { return place };
        if let Ok(from) = u8::try_from(from)
            && let Some(from) = self.steps.get_mut(usize::from(from))
            && from.next != found
        {
            from.other = from.next;
            from.next = found;
        }
        u32::from(found)
    }
}

/// The glue `bytes`, when it is not too long.
pub fn glue(bytes: &[u8]) -> Option<Glue> {
    (bytes.len() <= MAX_GLUE).then(|| Glue::new(bytes))
}
