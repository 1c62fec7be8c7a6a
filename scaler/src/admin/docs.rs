//! The documents that people need while it runs, inside the binary: what an alert leads to where nobody
//! has published them, in the version that is running.
//!
//! Which documents there are is decided here; what they say, in `docs/`. A link from one to another
//! leads there, a link to any other file of the repository to the list.

use axum::Router;
use axum::routing::get;
use pulldown_cmark::{CowStr, Event, LinkType, Options, Parser, Tag, TagEnd, html};

use super::page;

/// Each document's path under `/docs/`, and its text.
const DOCUMENTS: [(&str, &str); 11] = [
    ("operating.md", include_str!("../../../docs/operating.md")),
    ("concepts.md", include_str!("../../../docs/concepts.md")),
    (
        "configuration.md",
        include_str!("../../../docs/configuration.md"),
    ),
    ("keda.md", include_str!("../../../docs/keda.md")),
    ("calendar.md", include_str!("../../../docs/calendar.md")),
    (
        "secured-kafka.md",
        include_str!("../../../docs/secured-kafka.md"),
    ),
    ("security.md", include_str!("../../../docs/security.md")),
    ("migrating.md", include_str!("../../../docs/migrating.md")),
    ("faq.md", include_str!("../../../docs/faq.md")),
    ("ALGORITHM.md", include_str!("../../../docs/ALGORITHM.md")),
    ("laws.md", include_str!("../../../docs/laws.md")),
];

/// The routes of the documents, and of the list of them.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let list = get(async || page::answer(page::HTML, document("Documents", &list())));
    DOCUMENTS
        .into_iter()
        .fold(Router::new(), |router, (name, text)| {
            let answer = get(async move || page::answer(page::HTML, document(name, text)));
            router.route(&format!("/docs/{name}"), answer)
        })
        .route("/docs/", list)
}

/// The list, as Markdown.
fn list() -> String {
    let items = DOCUMENTS.map(|(name, text)| format!("- [{}]({name})\n", title(text)));
    format!(
        "# Documents of evenkeel {}\n{}",
        env!("CARGO_PKG_VERSION"),
        items.concat()
    )
}

/// The first heading.
fn title(markdown: &str) -> &str {
    let heading = markdown.lines().find_map(|line| line.strip_prefix("# "));
    heading.unwrap_or_default()
}

/// The page around a document.
fn document(name: &str, markdown: &str) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{name} - evenkeel</title>\n\
         <link rel=\"icon\" href=\"data:,\">\n<link rel=\"stylesheet\" href=\"../page.css\">\n</head>\n\
         <body class=\"document\">\n<header><a class=\"brand\" href=\"../\">evenkeel</a> \
         <a href=\"./\">Documents</a></header>\n<main>\n"
    );
    html::push_html(&mut page, events(markdown).into_iter());
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

/// The document with the anchors that GitHub gives its headings, and with no link into nothing.
fn events(markdown: &str) -> Vec<Event<'_>> {
    let mut events: Vec<Event<'_>> = Vec::new();
    let mut heading = None;
    let mut is_shown = true;
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
        match event {
            // Comments; nothing else of HTML is in our documents.
            Event::Html(_) | Event::InlineHtml(_) => {}
            Event::Start(Tag::Image { .. }) => is_shown = false,
            Event::End(TagEnd::Image) => is_shown = true,
            _ if !is_shown => {}
            Event::Start(Tag::Heading { .. }) => {
                heading = Some(events.len());
                events.push(event);
            }
            Event::End(TagEnd::Heading(_)) => {
                let begin = heading.take().unwrap_or_default();
                let anchor = anchor(events.get(begin..).unwrap_or_default());
                if let Some(Event::Start(Tag::Heading { id, .. })) = events.get_mut(begin) {
                    *id = Some(anchor);
                }
                events.push(event);
            }
            Event::Start(Tag::Link {
                dest_url,
                title,
                id,
                ..
            }) => {
                let dest_url = led(dest_url);
                events.push(Event::Start(Tag::Link {
                    link_type: LinkType::Inline,
                    dest_url,
                    title,
                    id,
                }));
            }
            event => events.push(event),
        }
    }
    events
}

/// Where a link leads: on the web, within the document, or to another one; to the list otherwise.
fn led(link: CowStr<'_>) -> CowStr<'_> {
    let file = link.split('#').next().unwrap_or_default();
    let is_served = file.is_empty() || DOCUMENTS.iter().any(|(name, _)| *name == file);
    if is_served || link.starts_with("https://") || link.starts_with("http://") {
        return link;
    }
    CowStr::Borrowed("./")
}

/// As GitHub writes a heading's anchor.
fn anchor<'a>(heading: &[Event<'a>]) -> CowStr<'a> {
    let mut anchor = String::new();
    for event in heading {
        if let Event::Text(text) | Event::Code(text) = event {
            for letter in text.chars() {
                match letter {
                    ' ' => anchor.push('-'),
                    letter if letter.is_alphanumeric() || "-_".contains(letter) => {
                        anchor.extend(letter.to_lowercase());
                    }
                    _ => {}
                }
            }
        }
    }
    anchor.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alert_has_an_anchor_and_every_link_a_goal() {
        let pages = DOCUMENTS.map(|(name, text)| (name, document(name, text)));
        let (_, operating) = &pages[0];
        assert!(operating.contains("<h3 id=\"evenkeelfrozen\">EvenkeelFrozen</h3>"));
        for (name, page) in &pages {
            for link in page.split("<a href=\"").skip(1) {
                let link = link.split('"').next().unwrap();
                let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
                let goal = match file {
                    "" => Some(page),
                    file => pages
                        .iter()
                        .find(|(name, _)| *name == file)
                        .map(|(_, page)| page),
                };
                if let (Some(goal), false) = (goal, anchor.is_empty()) {
                    assert!(goal.contains(&format!("id=\"{anchor}\"")), "{name}: {link}");
                }
            }
        }
    }

    #[test]
    fn nothing_of_the_markdown_is_left_and_nothing_of_it_becomes_markup() {
        let page = document(
            "x",
            "# A <b> `c*d`\n\n| a | b |\n|---|---|\n| 1 | [x](../y.rs) |\n<!-- no -->\n",
        );
        assert!(
            page.contains("<h1 id=\"a--cd\">A  <code>c*d</code></h1>"),
            "{page}"
        );
        assert!(page.contains("<td><a href=\"./\">x</a></td>"), "{page}");
        assert!(!page.contains("<!-- no"), "{page}");
    }
}
