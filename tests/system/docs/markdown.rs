//! What a Markdown file has: links, headings, code.

use std::collections::HashMap;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// A Markdown file, taken apart.
#[derive(Debug, Default)]
pub struct Page {
    /// Targets of links and images.
    pub links: Vec<Piece>,
    /// Code within lines.
    pub spans: Vec<Piece>,
    /// Fenced code.
    pub blocks: Vec<Block>,
    /// What GitHub has a link's `#anchor` lead to.
    pub anchors: Vec<String>,
}

/// A text, and the line that it begins on.
#[derive(Debug)]
pub struct Piece {
    pub line: usize,
    pub text: String,
}

/// A fenced block.
#[derive(Debug)]
pub struct Block {
    /// The line of the opening fence; the text begins on the next.
    pub line: usize,
    /// What stands behind the opening fence.
    pub info: String,
    pub text: String,
}

/// A heading or a block that has begun.
enum Open {
    Heading(String),
    Block(Block),
}

impl Page {
    /// Takes a file apart, as GitHub reads it.
    pub fn parse(text: &str) -> Self {
        let extensions = Options::ENABLE_TABLES
            | Options::ENABLE_FOOTNOTES
            | Options::ENABLE_STRIKETHROUGH
            | Options::ENABLE_TASKLISTS
            | Options::ENABLE_GFM;
        let mut page = Self::default();
        let mut anchors = Anchors::default();
        let mut open = None;
        for (event, place) in Parser::new_ext(text, extensions).into_offset_iter() {
            let line = 1 + text[..place.start].matches('\n').count();
            let piece = |text: &str| Piece {
                line,
                text: text.to_owned(),
            };
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push(piece(&dest_url));
                }
                Event::Start(Tag::Heading { .. }) => open = Some(Open::Heading(String::new())),
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                    open = Some(Open::Block(Block {
                        line,
                        info: info.into_string(),
                        text: String::new(),
                    }));
                }
                Event::Text(text) => match &mut open {
                    Some(Open::Heading(heading)) => heading.push_str(&text),
                    Some(Open::Block(block)) => block.text.push_str(&text),
                    None => {}
                },
                Event::Code(code) => {
                    page.spans.push(piece(&code));
                    if let Some(Open::Heading(heading)) = &mut open {
                        heading.push_str(&code);
                    }
                }
                Event::End(TagEnd::Heading(_) | TagEnd::CodeBlock) => match open.take() {
                    Some(Open::Heading(heading)) => page.anchors.push(anchors.next(&heading)),
                    Some(Open::Block(block)) => page.blocks.push(block),
                    None => {}
                },
                _ => {}
            }
        }
        page
    }
}

/// GitHub's names for the headings of one file.
#[derive(Debug, Default)]
struct Anchors {
    taken: HashMap<String, u32>,
}

impl Anchors {
    /// The name of the next heading: its letters and digits in lower case, `-` for spaces; what is already taken gets
    /// a number.
    fn next(&mut self, heading: &str) -> String {
        let name: String = heading
            .trim()
            .to_lowercase()
            .chars()
            .filter(|it| it.is_alphanumeric() || matches!(it, ' ' | '-' | '_'))
            .map(|it| if it == ' ' { '-' } else { it })
            .collect();
        let before = self.taken.entry(name.clone()).or_default();
        *before += 1;
        match *before {
            1 => name,
            number => format!("{name}-{}", number - 1),
        }
    }
}
