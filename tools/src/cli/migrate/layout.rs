//! Where each node of a YAML text stands, in bytes, so that the text can be edited in place.
//!
//! The tree of `config::yaml` says what a document means, with aliases and merges resolved; this one
//! says where it is written. Both have the same shape wherever nothing is shared, and only there is
//! an edit made. It uses the parser that reads all our YAML.

use granit_parser::{Event, Parser, ScalarStyle, Span, StructureStyle};

/// Where a node stands.
#[derive(Debug)]
pub struct Place {
    /// Its first byte.
    pub start: usize,
    /// The byte after its last one, without white space or line breaks behind it.
    pub end: usize,
    /// What it is.
    pub shape: Shape,
}

/// What stands at a place.
#[derive(Debug)]
pub enum Shape {
    /// Text, a number, nothing.
    Scalar,
    /// `*name`.
    Alias,
    /// A list, in brackets or with dashes.
    List {
        /// In brackets.
        flow: bool,
        /// Its items.
        items: Vec<Place>,
    },
    /// A mapping, in braces or one line a key.
    Map {
        /// In braces.
        flow: bool,
        /// Its entries.
        slots: Vec<Slot>,
    },
}

/// One entry of a mapping.
#[derive(Debug)]
pub struct Slot {
    /// The key.
    pub key: String,
    /// The first byte of the key, its quote included.
    pub key_start: usize,
    /// Whether the key is written in double quotes.
    pub quoted: bool,
    /// Its value.
    pub value: Place,
}

/// The places of every document of `text` that holds something; none where it is not read as
/// expected.
pub fn read(text: &str) -> Option<Vec<Place>> {
    let mut reader = Reader {
        text,
        parser: Parser::new_from_str(text),
    };
    let mut documents = Vec::new();
    while let Some((event, span)) = reader.next() {
        match event {
            Event::StreamEnd => return Some(documents),
            Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
            Event::Scalar(value, ScalarStyle::Plain, ..)
                if matches!(&*value, "" | "~" | "null" | "Null" | "NULL") =>
            {
                // A document that says nothing is left out there, too.
                let _ = span;
            }
            event => documents.push(reader.place(&event, span)?),
        }
    }
    None
}

struct Reader<'t> {
    text: &'t str,
    parser: Parser<'t, granit_parser::StrInput<'t>>,
}

// === impl Reader ===

impl<'t> Reader<'t> {
    /// What comes next that is no comment: with the feature for them, which another crate turns on, the
    /// parser tells of those too.
    fn next(&mut self) -> Option<(Event<'t>, Span)> {
        loop {
            match self.parser.next()?.ok()? {
                (Event::Comment(..), _) => {}
                next => return Some(next),
            }
        }
    }

    /// The node that begins with `event`. The parser bounds how deep this goes.
    fn place(&mut self, event: &Event<'t>, span: Span) -> Option<Place> {
        let mut start = span.start.byte_offset()?;
        let own_end = span.end.byte_offset()?;
        if start == own_end && self.text.get(start..)?.starts_with(':') {
            // Of a value that is not written the parser tells where the colon before it is.
            start += 1;
        }
        let (shape, end) = match event {
            Event::Scalar(..) => (Shape::Scalar, own_end),
            Event::Alias(_) => (Shape::Alias, own_end),
            Event::SequenceStart(style, ..) => {
                let mut items = Vec::new();
                let end = loop {
                    match self.next()? {
                        (Event::SequenceEnd, span) => break span.end.byte_offset()?,
                        (event, span) => items.push(self.place(&event, span)?),
                    }
                };
                let flow = *style == StructureStyle::Flow;
                let last = items.last().map(|item: &Place| item.end);
                let end = if flow { end } else { last.unwrap_or(end) };
                (Shape::List { flow, items }, end)
            }
            Event::MappingStart(style, ..) => {
                let mut slots = Vec::new();
                let end = loop {
                    let (key, key_span) = match self.next()? {
                        (Event::MappingEnd, span) => break span.end.byte_offset()?,
                        (Event::Scalar(key, ..), span) => (key.into_owned(), span),
                        _ => return None,
                    };
                    let key_start = key_span.start.byte_offset()?;
                    let (event, span) = self.next()?;
                    slots.push(Slot {
                        key,
                        key_start,
                        quoted: self.text.get(key_start..)?.starts_with('"'),
                        value: self.place(&event, span)?,
                    });
                };
                let flow = *style == StructureStyle::Flow;
                let last = slots.last().map(|slot: &Slot| slot.value.end);
                let end = if flow { end } else { last.unwrap_or(end) };
                (Shape::Map { flow, slots }, end)
            }
            _ => return None,
        };
        let end = self.text.get(..end)?.trim_end().len().max(start);
        Some(Place { start, end, shape })
    }
}
