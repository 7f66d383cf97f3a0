//! A picture: one panel a table, a line a rule, both axes logarithmic. Plain SVG, readable by every browser.

use std::fmt::Write as _;

use crate::simulate::setting::SHORTEST_QUEUE;

/// One diagram.
#[derive(Debug, Clone)]
pub struct Panel {
    /// What stands above it.
    pub title: String,
    /// Where on the horizontal axis, all greater than 0.
    pub at: Vec<f64>,
    /// A name and a value greater than 0 for each place; `None` where there is none to show.
    pub lines: Vec<(&'static str, Vec<Option<f64>>)>,
}

/// A panel's size, and the room around its diagram for the title, the axes and the names.
const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 130.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 48.0;
/// Least distance of two names.
const LINE: f64 = 13.0;
/// Panels side by side.
const ACROSS: usize = 2;

/// Colours that differ for most eyes (Okabe and Ito 2008), and some darker ones. The first is ours.
const COLOURS: [&str; 13] = [
    "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#332288", "#117733", "#999933",
    "#882255", "#aa4499", "#777777", "#000000",
];

/// A logarithmic axis.
struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    fn new(values: impl Iterator<Item = f64> + Clone, from: f64, to: f64) -> Self {
        let low = values.clone().fold(f64::INFINITY, f64::min);
        let high = values.fold(0.0, f64::max);
        let (low, high) = if low.is_finite() && high > 0.0 { (low, high) } else { (1.0, 10.0) };
        // One value alone still needs an axis.
        if high > low {
            Self { low, high, from, to }
        } else {
            Self { low: low / 2.0, high: high * 2.0, from, to }
        }
    }

    fn place(&self, value: f64) -> f64 {
        let part = (value / self.low).ln() / (self.high / self.low).ln();
        self.from + part * (self.to - self.from)
    }

    /// 1, 2 and 5 times the powers of ten that lie on it.
    fn ticks(&self) -> Vec<f64> {
        let decades = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
        let all = decades.flat_map(|decade| [1.0, 2.0, 5.0].map(|step| step * 10f64.powi(decade)));
        all.filter(|tick| (self.low * 0.999..=self.high * 1.001).contains(tick)).collect()
    }
}

/// The picture of these panels.
pub fn svg(panels: &[Panel], across: &str, up: &str) -> String {
    let columns = panels.len().clamp(1, ACROSS);
    let rows = panels.len().div_ceil(ACROSS).max(1);
    let (width, height) = (WIDTH * columns as f64, HEIGHT * rows as f64);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    for (number, panel) in panels.iter().enumerate() {
        let (x, y) = ((number % ACROSS) as f64 * WIDTH, (number / ACROSS) as f64 * HEIGHT);
        let _ = writeln!(text, "<g transform=\"translate({x} {y})\">");
        panel.draw(&mut text, across, up);
        text.push_str("</g>\n");
    }
    text.push_str("</svg>\n");
    text
}

impl Panel {
    fn draw(&self, text: &mut String, across: &str, up: &str) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        let x = Axis::new(self.at.iter().copied(), LEFT, right);
        let values = self.lines.iter().flat_map(|(_, values)| values.iter().flatten().copied());
        let y = Axis::new(values, bottom, TOP);
        let _ = writeln!(
            text,
            "<text x=\"{LEFT}\" y=\"20\" font-size=\"13\" font-weight=\"bold\" fill=\"#222222\">{}</text>",
            escaped(&self.title)
        );
        self.axes(text, &x, &y);
        let _ = writeln!(
            text,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#222222\">{}</text>",
            (LEFT + right) / 2.0,
            HEIGHT - 12.0,
            escaped(across)
        );
        let middle = (TOP + bottom) / 2.0;
        let _ = writeln!(
            text,
            "<text x=\"14\" y=\"{middle:.1}\" text-anchor=\"middle\" fill=\"#222222\" \
             transform=\"rotate(-90 14 {middle:.1})\">{}</text>",
            escaped(up)
        );
        self.curves(text, &x, &y);
    }

    fn axes(&self, text: &mut String, x: &Axis, y: &Axis) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for tick in y.ticks() {
            let at = y.place(tick);
            let _ = writeln!(
                text,
                "<path d=\"M{LEFT} {at:.1}H{right}\" stroke=\"#dddddd\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#444444\">{tick}</text>",
                LEFT - 5.0,
                at + 4.0
            );
        }
        for &tick in &self.at {
            let at = x.place(tick);
            let _ = writeln!(
                text,
                "<path d=\"M{at:.1} {TOP}V{bottom}\" stroke=\"#eeeeee\"/>\
                 <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#444444\">{tick}</text>",
                bottom + 15.0
            );
        }
        let _ =
            writeln!(text, "<path d=\"M{LEFT} {TOP}V{bottom}H{right}\" fill=\"none\" stroke=\"#888888\"/>");
    }

    fn curves(&self, text: &mut String, x: &Axis, y: &Axis) {
        let mut names: Vec<(f64, f64, &str, &str)> = Vec::new();
        for (number, (name, values)) in self.lines.iter().enumerate() {
            let colour = COLOURS[number % COLOURS.len()];
            let wide = if number == 0 { "2.6" } else { "1.4" };
            let dashed = if *name == SHORTEST_QUEUE { " stroke-dasharray=\"5 4\"" } else { "" };
            let mut path = String::new();
            let mut pen = 'M';
            let mut last = None;
            for (&at, value) in self.at.iter().zip(values) {
                let Some(value) = value else {
                    pen = 'M';
                    continue;
                };
                let (left, top) = (x.place(at), y.place(*value));
                let _ = write!(path, "{pen}{left:.1} {top:.1}");
                let _ =
                    write!(text, "<circle cx=\"{left:.1}\" cy=\"{top:.1}\" r=\"2.2\" fill=\"{colour}\"/>");
                (pen, last) = ('L', Some((left, top)));
            }
            if let Some((left, top)) = last {
                let _ = writeln!(
                    text,
                    "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{wide}\"{dashed}/>"
                );
                names.push((left, top, name, colour));
            }
        }
        self.names(text, names);
    }

    /// Each name beside the end of its line, moved apart where they would lie on each other.
    fn names(&self, text: &mut String, mut names: Vec<(f64, f64, &str, &str)>) {
        names.sort_by(|one, other| one.1.total_cmp(&other.1));
        let mut tops: Vec<f64> = names.iter().map(|name| name.1).collect();
        for place in 1..tops.len() {
            tops[place] = tops[place].max(tops[place - 1] + LINE);
        }
        let mut floor = HEIGHT - BOTTOM;
        for top in tops.iter_mut().rev() {
            *top = top.min(floor);
            floor = *top - LINE;
        }
        for ((left, end, name, colour), top) in names.into_iter().zip(tops) {
            let from = WIDTH - RIGHT + 12.0;
            let _ = writeln!(
                text,
                "<path d=\"M{left:.1} {end:.1}L{from:.1} {top:.1}\" stroke=\"{colour}\" stroke-width=\"0.5\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{}</text>",
                from + 3.0,
                top + 4.0,
                escaped(name)
            );
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_is_logarithmic_and_has_round_ticks() {
        let axis = Axis::new([0.1, 50.0].into_iter(), 0.0, 100.0);
        assert!((axis.place(0.1), axis.place(50.0)) == (0.0, 100.0));
        assert!((axis.place(5.0f64.sqrt()) - 50.0).abs() < 1e-9, "the geometric middle of 0.1 and 50");
        let close = |tick: &f64| format!("{tick:.1}");
        let ticks: Vec<String> = axis.ticks().iter().map(close).collect();
        assert_eq!(ticks, ["0.1", "0.2", "0.5", "1.0", "2.0", "5.0", "10.0", "20.0", "50.0"]);
        let alone = Axis::new([3.0].into_iter(), 0.0, 1.0);
        assert!(alone.place(3.0).is_finite());
        assert!(Axis::new([].into_iter(), 0.0, 1.0).place(2.0).is_finite());
    }

    #[test]
    fn a_picture_names_each_line_and_leaves_out_what_has_no_end() {
        let lines = vec![("adaptive", vec![Some(2.0), Some(4.0)]), ("random", vec![None, None])];
        let panel = Panel { title: "a < b".to_owned(), at: vec![1.0, 20.0], lines };
        let text = svg(&[panel.clone(), panel.clone(), panel], "across", "up");
        assert!(text.starts_with("<svg ") && text.ends_with("</svg>\n"));
        assert_eq!(text.matches(">adaptive</text>").count(), 3);
        assert!(text.contains("a &lt; b") && !text.contains(">random<") && !text.contains("NaN"), "{text}");
        assert!(text.contains("viewBox=\"0 0 1040 720\""), "two across, two down");
    }
}
