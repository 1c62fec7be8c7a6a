//! Whether an answer has the shape it should have, before the decoder sees it.
//!
//! The decoder of `kafka-protocol` allocates an array as long as the answer claims before it reads
//! the first element, so four wrong bytes ask for hundreds of gigabytes, and a failed allocation
//! ends the process; no panic handler helps. So the bytes are walked first against the field tables
//! below: every length is checked against what is left, nothing is allocated. An answer that
//! passes is as long as it claims, and decoding it costs memory in proportion to the frame limit.
//!
//! It judges the shape only; what the values mean is the callers' to judge.

#[cfg(test)]
mod tests;

/// The fields of one message.
#[derive(Debug)]
pub struct Shape {
    /// From this version on lengths are varints and structures end in tagged fields.
    pub flexible_since: i16,
    /// The fields in order.
    pub fields: &'static [Entry],
    /// Tagged fields at the end that the decoder knows; others it skips by their size.
    pub tagged: &'static [(u32, &'static [Entry])],
}

/// One field in the versions that have it.
#[derive(Debug)]
pub struct Entry {
    since: i16,
    until: i16,
    field: Field,
}

#[derive(Debug)]
enum Field {
    /// This many bytes.
    Fixed(usize),
    /// A string, or none.
    Text,
    /// A blob with a length of four bytes, or a varint where flexible.
    Blob,
    /// An array of four-byte integers.
    Integers,
    /// An array of strings.
    Texts,
    /// A structure.
    Nested(&'static [Entry]),
    /// An array of structures.
    Array(&'static [Entry]),
}

/// The bytes still to be walked.
struct Walk<'a> {
    rest: &'a [u8],
    version: i16,
    flexible: bool,
}

const fn entry(since: i16, until: i16, field: Field) -> Entry {
    Entry {
        since,
        until,
        field,
    }
}

const fn always(field: Field) -> Entry {
    entry(0, i16::MAX, field)
}

const fn since(version: i16, field: Field) -> Entry {
    entry(version, i16::MAX, field)
}

use Field::{Array, Blob, Fixed, Integers, Nested, Text, Texts};

const FEATURES: &[Entry] = &[always(Array(&[
    always(Text),
    always(Fixed(2)),
    always(Fixed(2)),
]))];

/// ApiVersions, versions 0 to 3.
pub const API_VERSIONS: Shape = Shape {
    flexible_since: 3,
    fields: &[
        always(Fixed(2)),
        always(Array(&[
            always(Fixed(2)),
            always(Fixed(2)),
            always(Fixed(2)),
        ])),
        since(1, Fixed(4)),
    ],
    tagged: &[
        (0, FEATURES),
        (1, &[always(Fixed(8))]),
        (2, FEATURES),
        (3, &[always(Fixed(1))]),
    ],
};

/// SaslHandshake, version 1.
pub const SASL_HANDSHAKE: Shape = Shape {
    flexible_since: i16::MAX,
    fields: &[always(Fixed(2)), always(Texts)],
    tagged: &[],
};

/// SaslAuthenticate, versions 0 to 2.
pub const SASL_AUTHENTICATE: Shape = Shape {
    flexible_since: 2,
    fields: &[
        always(Fixed(2)),
        always(Text),
        always(Blob),
        since(1, Fixed(8)),
    ],
    tagged: &[],
};

/// Metadata, versions 4 to 13.
pub const METADATA: Shape = Shape {
    flexible_since: 9,
    fields: &[
        always(Fixed(4)),
        always(Array(&[
            always(Fixed(4)),
            always(Text),
            always(Fixed(4)),
            always(Text),
        ])),
        always(Text),
        always(Fixed(4)),
        always(Array(&[
            always(Fixed(2)),
            always(Text),
            since(10, Fixed(16)),
            always(Fixed(1)),
            always(Array(&[
                always(Fixed(2)),
                always(Fixed(4)),
                always(Fixed(4)),
                since(7, Fixed(4)),
                always(Integers),
                always(Integers),
                since(5, Integers),
            ])),
            since(8, Fixed(4)),
        ])),
        entry(8, 10, Fixed(4)),
        since(13, Fixed(2)),
    ],
    tagged: &[],
};

/// FindCoordinator, versions 1 to 6.
pub const FIND_COORDINATOR: Shape = Shape {
    flexible_since: 3,
    fields: &[
        always(Fixed(4)),
        entry(0, 3, Fixed(2)),
        entry(0, 3, Text),
        entry(0, 3, Fixed(4)),
        entry(0, 3, Text),
        entry(0, 3, Fixed(4)),
        since(
            4,
            Array(&[
                always(Text),
                always(Fixed(4)),
                always(Text),
                always(Fixed(4)),
                always(Fixed(2)),
                always(Text),
            ]),
        ),
    ],
    tagged: &[],
};

const COMMITTED_PARTITION: &[Entry] = &[
    always(Fixed(4)),
    always(Fixed(8)),
    since(5, Fixed(4)),
    always(Text),
    always(Fixed(2)),
];

const COMMITTED_TOPIC: &[Entry] = &[always(Text), always(Array(COMMITTED_PARTITION))];

/// OffsetFetch, versions 2 to 9.
pub const OFFSET_FETCH: Shape = Shape {
    flexible_since: 6,
    fields: &[
        since(3, Fixed(4)),
        entry(0, 7, Array(COMMITTED_TOPIC)),
        entry(0, 7, Fixed(2)),
        since(
            8,
            Array(&[
                always(Text),
                always(Array(COMMITTED_TOPIC)),
                always(Fixed(2)),
            ]),
        ),
    ],
    tagged: &[],
};

/// DescribeGroups, versions 0 to 6.
pub const DESCRIBE_GROUPS: Shape = Shape {
    flexible_since: 5,
    fields: &[
        since(1, Fixed(4)),
        always(Array(&[
            always(Fixed(2)),
            since(6, Text),
            always(Text),
            always(Text),
            always(Text),
            always(Text),
            always(Array(&[
                always(Text),
                since(4, Text),
                always(Text),
                always(Text),
                always(Blob),
                always(Blob),
            ])),
            since(3, Fixed(4)),
        ])),
    ],
    tagged: &[],
};

const ASSIGNED: &[Entry] = &[always(Array(&[
    always(Fixed(16)),
    always(Text),
    always(Integers),
]))];

/// ConsumerGroupDescribe, versions 0 and 1.
pub const CONSUMER_GROUP_DESCRIBE: Shape = Shape {
    flexible_since: 0,
    fields: &[
        always(Fixed(4)),
        always(Array(&[
            always(Fixed(2)),
            always(Text),
            always(Text),
            always(Text),
            always(Fixed(4)),
            always(Fixed(4)),
            always(Text),
            always(Array(&[
                always(Text),
                always(Text),
                always(Text),
                always(Fixed(4)),
                always(Text),
                always(Text),
                always(Texts),
                always(Text),
                always(Nested(ASSIGNED)),
                always(Nested(ASSIGNED)),
                since(1, Fixed(1)),
            ])),
            always(Fixed(4)),
        ])),
    ],
    tagged: &[],
};

/// ListOffsets, versions 2 to 10.
pub const LIST_OFFSETS: Shape = Shape {
    flexible_since: 6,
    fields: &[
        always(Fixed(4)),
        always(Array(&[
            always(Text),
            always(Array(&[
                always(Fixed(4)),
                always(Fixed(2)),
                always(Fixed(8)),
                always(Fixed(8)),
                since(4, Fixed(4)),
            ])),
        ])),
    ],
    tagged: &[],
};

/// A classic member's assignment, after its version.
pub const ASSIGNMENT: Shape = Shape {
    flexible_since: i16::MAX,
    fields: &[
        always(Array(&[always(Text), always(Integers)])),
        always(Blob),
    ],
    tagged: &[],
};

// === impl Shape ===

impl Shape {
    /// Whether `bytes` hold this message in `version`. Bytes beyond it are not looked at.
    pub fn fits(&self, bytes: &[u8], version: i16) -> bool {
        self.beyond(bytes, version).is_some()
    }

    /// What follows this message in `bytes`.
    fn beyond<'a>(&self, bytes: &'a [u8], version: i16) -> Option<&'a [u8]> {
        let mut walk = Walk {
            rest: bytes,
            version,
            flexible: version >= self.flexible_since,
        };
        walk.entries(self.fields)?;
        walk.tags(self.tagged)?;
        Some(walk.rest)
    }
}

/// Takes the tagged fields of a flexible response header off `bytes`.
pub fn without_header_tags(bytes: &[u8]) -> Option<&[u8]> {
    let mut walk = Walk {
        rest: bytes,
        version: 0,
        flexible: true,
    };
    walk.tags(&[])?;
    Some(walk.rest)
}

// === impl Walk ===

impl<'a> Walk<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u32> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let byte = u32::from(*self.take(1)?.first()?);
            value |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// The length of something that may be absent; absent counts as empty.
    fn length(&mut self, wide: bool) -> Option<usize> {
        if self.flexible {
            return usize::try_from(self.varint()?.saturating_sub(1)).ok();
        }
        let length = if wide {
            i32::from_be_bytes(self.take(4)?.try_into().ok()?)
        } else {
            i32::from(i16::from_be_bytes(self.take(2)?.try_into().ok()?))
        };
        if length == -1 {
            return Some(0);
        }
        usize::try_from(length).ok()
    }

    /// The length of an array, each element of which takes at least one byte.
    fn count(&mut self) -> Option<usize> {
        self.length(true).filter(|&count| count <= self.rest.len())
    }

    fn entries(&mut self, entries: &[Entry]) -> Option<()> {
        for entry in entries {
            if (entry.since..=entry.until).contains(&self.version) {
                self.field(&entry.field)?;
            }
        }
        Some(())
    }

    fn structure(&mut self, entries: &[Entry]) -> Option<()> {
        self.entries(entries)?;
        self.tags(&[])
    }

    fn field(&mut self, field: &Field) -> Option<()> {
        match field {
            Fixed(length) => {
                self.take(*length)?;
            }
            Text => {
                let length = self.length(false)?;
                self.take(length)?;
            }
            Blob => {
                let length = self.length(true)?;
                self.take(length)?;
            }
            Integers => {
                let count = self.count()?;
                self.take(count.checked_mul(4)?)?;
            }
            Texts => {
                for _ in 0..self.count()? {
                    self.field(&Text)?;
                }
            }
            Nested(entries) => self.structure(entries)?,
            Array(entries) => {
                for _ in 0..self.count()? {
                    self.structure(entries)?;
                }
            }
        }
        Some(())
    }

    /// The tagged fields that end a flexible structure. The decoder reads the ones it knows
    /// without regard to the size they claim, so those have to fill it exactly.
    fn tags(&mut self, known: &[(u32, &[Entry])]) -> Option<()> {
        if !self.flexible {
            return Some(());
        }
        for _ in 0..self.varint()? {
            let tag = self.varint()?;
            let size = usize::try_from(self.varint()?).ok()?;
            let content = self.take(size)?;
            if let Some((_, entries)) = known.iter().find(|(known, _)| *known == tag) {
                let mut inside = Walk {
                    rest: content,
                    version: self.version,
                    flexible: true,
                };
                inside.entries(entries)?;
                if !inside.rest.is_empty() {
                    return None;
                }
            }
        }
        Some(())
    }
}
