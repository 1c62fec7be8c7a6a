//! Plots: a scatter of named series as one SVG text.
//!
//! No script, no outside font, no fixed colour: a reader's light or dark setting decides, also in an
//! image beside a document. Every series has its colour, its mark and its line in the key; its name is
//! written beside a point where there is room for it without touching another. The same input gives
//! the same bytes.

mod axis;

use std::fmt::Write as _;

pub use axis::Scale;
pub(crate) use axis::{Axis, short};

/// The style of every plot, for a page that holds some.
pub(crate) const STYLE: &str = include_str!("plot/plot.css");

/// Colours that there are; the series after the last begins again with another mark.
pub(crate) const COLOURS: usize = 10;

/// One axis of a scatter.
#[derive(Clone, Debug, PartialEq)]
pub struct Dimension<'a> {
    /// What it shows, with its unit.
    pub label: &'a str,
    /// How it is laid out.
    pub scale: Scale,
}

/// A named series of points, joined in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its name.
    pub name: String,
    /// Its points.
    pub points: Vec<Point>,
}

/// One point.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// To the right.
    pub x: f64,
    /// Up.
    pub y: f64,
    /// What it is, shown when it is pointed at.
    pub label: String,
}

/// A scatter of named series.
#[derive(Clone, Debug, PartialEq)]
pub struct Scatter<'a> {
    /// What it shows, in a few words.
    pub title: &'a str,
    /// To the right.
    pub x: Dimension<'a>,
    /// Up.
    pub y: Dimension<'a>,
    /// The series.
    pub series: &'a [Series],
}

/// A rectangle in the units of the plot, pixels at its own size.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Area {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

/// Narrow enough that its text can be read on a phone.
const WIDTH: f64 = 460.0;

/// Where the points are.
const FIELD: Area = Area {
    left: 50.0,
    top: 46.0,
    right: 446.0,
    bottom: 300.0,
};

/// Between two rows of the key.
const KEY_ROW: f64 = 18.0;

/// Half the size of a mark, with the air around it.
const MARK: f64 = 6.0;

/// Width of a letter on average, at 11 pixels.
const LETTER: f64 = 6.0;

// === impl Scatter ===

impl Scatter<'_> {
    /// The plot as a file of its own.
    pub fn svg(&self) -> String {
        self.draw(" xmlns=\"http://www.w3.org/2000/svg\"", STYLE)
    }

    /// The plot for a page that has [`STYLE`].
    pub(crate) fn inline(&self) -> String {
        self.draw("", "")
    }

    fn draw(&self, attributes: &str, style: &str) -> String {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let x = Axis::of(self.x.scale, points().map(|point| point.x));
        let y = Axis::of(self.y.scale, points().map(|point| point.y));
        let columns = self.key_columns();
        let rows = self.series.len().div_ceil(columns);
        let height = FIELD.bottom + 46.0 + rows as f64 * KEY_ROW;
        let mut svg = format!(
            "<svg class=\"plot\"{attributes} viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
             aria-label=\"{title}\">\n",
            title = escaped(self.title),
        );
        if !style.is_empty() {
            let _ = writeln!(svg, "<style>\n{style}</style>");
        }
        let _ = writeln!(
            svg,
            "<rect class=\"back\" width=\"{WIDTH}\" height=\"{height}\"/>\n\
             <text class=\"title\" x=\"8\" y=\"18\">{}</text>\n\
             <text x=\"8\" y=\"36\">{}</text>",
            escaped(self.title),
            escaped(self.y.label),
        );
        self.axes(&mut svg, &x, &y);
        let at = |point: &Point| FIELD.at(x.place(point.x), y.place(point.y));
        // The first series lies on top of the others.
        for (nth, series) in self.series.iter().enumerate().rev() {
            let places: Vec<(f64, f64)> = series.points.iter().map(at).collect();
            draw_series(&mut svg, nth, series, &places);
        }
        self.names(&mut svg, at);
        self.key(&mut svg, columns);
        svg.push_str("</svg>\n");
        svg
    }

    fn axes(&self, svg: &mut String, x: &Axis, y: &Axis) {
        for tick in x.ticks() {
            let (across, _) = FIELD.at(tick.place, 0.0);
            let _ = writeln!(
                svg,
                "<path class=\"grid\" d=\"M{across:.1} {} V{}\"/>\
                 <text x=\"{across:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                FIELD.top,
                FIELD.bottom,
                FIELD.bottom + 15.0,
                escaped(&tick.text),
            );
        }
        for tick in y.ticks() {
            let (_, down) = FIELD.at(0.0, tick.place);
            let _ = writeln!(
                svg,
                "<path class=\"grid\" d=\"M{} {down:.1} H{}\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                FIELD.left,
                FIELD.right,
                FIELD.left - 6.0,
                down + 4.0,
                escaped(&tick.text),
            );
        }
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            FIELD.right,
            FIELD.bottom + 31.0,
            escaped(self.x.label),
        );
    }

    /// Writes each name beside one of its points, where it touches neither a name nor a mark; the
    /// key has those for which there is no room.
    fn names(&self, svg: &mut String, at: impl Fn(&Point) -> (f64, f64)) {
        let all = self.series.iter().flat_map(|series| &series.points);
        let mut taken: Vec<Area> = all.map(|point| Area::around(at(point), MARK)).collect();
        for (nth, series) in self.series.iter().enumerate() {
            let width = series.name.chars().count() as f64 * LETTER;
            let places = series.points.iter().rev().map(&at);
            let boxes = places.flat_map(|(x, y)| {
                let beside = MARK + 2.0;
                [
                    (x + beside, y - 6.0),
                    (x - beside - width, y - 6.0),
                    (x - width / 2.0, y - beside - 12.0),
                    (x - width / 2.0, y + beside),
                    (x + 2.0, y - beside - 10.0),
                    (x - 2.0 - width, y - beside - 10.0),
                    (x + 2.0, y + beside - 2.0),
                    (x - 2.0 - width, y + beside - 2.0),
                ]
            });
            let free = boxes
                .map(|(left, top)| Area {
                    left,
                    top,
                    right: left + width,
                    bottom: top + 12.0,
                })
                .find(|area| FIELD.holds(area) && !taken.iter().any(|other| other.touches(area)));
            if let Some(area) = free {
                taken.push(area);
                let _ = writeln!(
                    svg,
                    "<text class=\"name s{}\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                    nth % COLOURS,
                    area.left,
                    area.top + 10.0,
                    escaped(&series.name),
                );
            }
        }
    }

    fn key(&self, svg: &mut String, columns: usize) {
        for (nth, series) in self.series.iter().enumerate() {
            let x = 16.0 + (nth % columns) as f64 * (WIDTH - 8.0) / columns as f64;
            let y = FIELD.bottom + 50.0 + (nth / columns) as f64 * KEY_ROW;
            let _ = writeln!(
                svg,
                "<g class=\"s{}\">{}</g><text class=\"key\" x=\"{}\" y=\"{}\">{}</text>",
                nth % COLOURS,
                mark(nth, (x, y - 4.0)),
                x + 10.0,
                y,
                escaped(&series.name),
            );
        }
    }

    /// Two columns where every name has room in half the width.
    fn key_columns(&self) -> usize {
        let longest = self
            .series
            .iter()
            .map(|series| series.name.chars().count())
            .max();
        if longest.unwrap_or(0) as f64 * LETTER < WIDTH / 2.0 - 26.0 {
            2
        } else {
            1
        }
    }
}

// === impl Area ===

impl Area {
    /// A place in it, from its lower left corner.
    fn at(&self, right: f64, up: f64) -> (f64, f64) {
        (
            self.left + (self.right - self.left) * right,
            self.bottom - (self.bottom - self.top) * up,
        )
    }

    fn around((x, y): (f64, f64), by: f64) -> Self {
        Self {
            left: x - by,
            top: y - by,
            right: x + by,
            bottom: y + by,
        }
    }

    fn touches(&self, other: &Self) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }

    fn holds(&self, other: &Self) -> bool {
        other.left >= self.left
            && other.right <= self.right
            && other.top >= self.top - 4.0
            && other.bottom <= self.bottom + 4.0
    }
}

fn draw_series(svg: &mut String, nth: usize, series: &Series, places: &[(f64, f64)]) {
    let _ = write!(svg, "<g class=\"s{}\">", nth % COLOURS);
    if places.len() > 1 {
        let joined: Vec<String> = places
            .iter()
            .map(|(x, y)| format!("{x:.1} {y:.1}"))
            .collect();
        let _ = write!(svg, "<path class=\"joined\" d=\"M{}\"/>", joined.join(" L"));
    }
    for (point, place) in series.points.iter().zip(places) {
        let _ = write!(
            svg,
            "<g>{}<title>{}</title></g>",
            mark(nth, *place),
            escaped(&point.label),
        );
    }
    svg.push_str("</g>\n");
}

/// The mark of the `nth` series: four shapes, so that colours are not all that tells them apart.
pub(crate) fn mark(nth: usize, (x, y): (f64, f64)) -> String {
    let path = match nth % 4 {
        0 => return format!("<circle class=\"mark\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\"/>"),
        1 => "m-4 -4 h8 v8 h-8 z",
        2 => "m0 -5 l5 9 h-10 z",
        _ => "m0 -5.5 l5.5 5.5 l-5.5 5.5 l-5.5 -5.5 z",
    };
    format!("<path class=\"mark\" d=\"M{x:.1} {y:.1} {path}\"/>")
}

/// A text that is safe in an element and in a quoted attribute, of HTML and of SVG.
pub(crate) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // SVG is XML, which has no way to write these.
            character if character.is_control() => safe.push(' '),
            character => safe.push(character),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scatter(series: &[Series]) -> Scatter<'_> {
        Scatter {
            title: "late & dear",
            x: Dimension {
                label: "replicas",
                scale: Scale::Linear,
            },
            y: Dimension {
                label: "late, %",
                scale: Scale::Log { floor: 0.01 },
            },
            series,
        }
    }

    fn series(name: &str, points: &[(f64, f64)]) -> Series {
        let point = |&(x, y): &(f64, f64)| Point {
            x,
            y,
            label: format!("{name} at {x}"),
        };
        Series {
            name: name.to_owned(),
            points: points.iter().map(point).collect(),
        }
    }

    #[test]
    fn every_text_is_escaped_and_the_style_comes_along() {
        let hostile = [series("<b onload=\"x\">'&\u{7}", &[(1.0, 2.0)])];
        let svg = scatter(&hostile).svg();
        assert!(!svg.contains("<b") && !svg.contains("onload=\"") && !svg.contains('\u{7}'));
        assert!(svg.contains("&lt;b onload=&quot;x&quot;&gt;&#39;&amp; "));
        assert!(svg.contains("late &amp; dear") && svg.contains("prefers-color-scheme"));
        assert!(svg.contains("xmlns="));
        assert!(!scatter(&hostile).inline().contains("<style>"));
    }

    #[test]
    fn a_sweep_is_joined_and_a_single_point_is_not() {
        let sweep = [series("sweep", &[(1.0, 2.0), (3.0, 1.0), (9.0, 0.0)])];
        assert_eq!(scatter(&sweep).svg().matches("class=\"joined\"").count(), 1);
        let single = [series("single", &[(1.0, 2.0)])];
        assert_eq!(
            scatter(&single).svg().matches("class=\"joined\"").count(),
            0
        );
        assert_eq!(scatter(&sweep).svg(), scatter(&sweep).svg());
    }

    #[test]
    fn names_never_touch_and_the_key_has_them_all() {
        let crowd: Vec<Series> = (0..14)
            .map(|nth| {
                series(
                    &format!("policy number {nth}"),
                    &[(5.0 + 0.01 * f64::from(nth), 1.0)],
                )
            })
            .collect();
        let svg = scatter(&crowd).svg();
        assert_eq!(svg.matches("class=\"key\"").count(), 14);
        let beside = svg.matches("class=\"name").count();
        assert!((1..14).contains(&beside), "{beside} names fit");
    }
}
