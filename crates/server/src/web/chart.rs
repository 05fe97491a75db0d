//! Charts as drawings of whole numbers: no library, no script, and a table of the same figures for
//! whoever cannot see them.

use maud::{Markup, html};

/// Height of every drawing, in its own units.
const HEIGHT: i128 = 1_000;
/// Width of one stretch of time, bars and gap.
const STEP: i128 = 100;

/// One stretch of time: what is said of it, and a value for each series.
pub struct Stretch {
    pub name: String,
    pub values: Vec<i128>,
    /// The values as a person reads them.
    pub shown: Vec<String>,
}

pub struct Bars<'a> {
    pub label: &'a str,
    pub series: &'a [&'a str],
    pub stretches: Vec<Stretch>,
    /// What the highest bar stands for.
    pub most: String,
    /// On top of each other, else side by side.
    pub stacked: bool,
}

fn largest(bars: &Bars<'_>) -> i128 {
    let of = |one: &Stretch| {
        let values = one.values.iter().copied();
        if bars.stacked { values.sum() } else { values.max().unwrap_or(0) }
    };
    bars.stretches.iter().map(of).max().unwrap_or(0).max(1)
}

/// x, y, width and height of each bar of a stretch, with its series.
fn boxes(bars: &Bars<'_>, index: usize, most: i128) -> Vec<(usize, [i128; 4])> {
    let stretch = &bars.stretches[index];
    let left = i128::try_from(index).unwrap_or(0) * STEP;
    let parts = if bars.stacked { 1 } else { i128::try_from(bars.series.len()).unwrap_or(1) };
    let width = STEP * 8 / 10 / parts.max(1);
    let mut under = 0;
    let mut boxes = Vec::new();
    for (series, value) in stretch.values.iter().enumerate() {
        let mut height = value.max(&0) * HEIGHT / most;
        if *value > 0 {
            // What is there can be seen.
            height = height.max(8);
        }
        let beside = if bars.stacked { 0 } else { i128::try_from(series).unwrap_or(0) * width };
        boxes.push((series, [left + STEP / 10 + beside, HEIGHT - under - height, width, height]));
        if bars.stacked {
            under += height;
        }
    }
    boxes
}

pub fn bars(bars: &Bars<'_>) -> Markup {
    let most = largest(bars);
    let width = i128::try_from(bars.stretches.len()).unwrap_or(1).max(1) * STEP;
    let tip = |stretch: &Stretch| {
        let pairs = bars.series.iter().zip(&stretch.shown);
        let lines: Vec<String> = pairs.map(|(name, value)| format!("{name}: {value}")).collect();
        format!("{}\n{}", stretch.name, lines.join("\n"))
    };
    html! {
        figure.chart {
            svg viewBox={ "0 -20 " (width) " 1020" }
                preserveAspectRatio="none"
                role="img"
                aria-label=(bars.label)
            {
                (rules(width))
                @for (index, stretch) in bars.stretches.iter().enumerate() {
                    @for (series, [x, y, w, h]) in boxes(bars, index, most) {
                        rect class={ "b" (series + 1) } x=(x) y=(y) width=(w) height=(h) {}
                    }
                    rect
                        .hit
                        x=(i128::try_from(index).unwrap_or(0) * STEP)
                        y="-20"
                        width=(STEP)
                        height="1020"
                        data-tip=(tip(stretch)) {}
                }
            }
            span.most { (bars.most) }
            (axis(bars.stretches.iter().map(|one| one.name.as_str())))
            (table(bars))
        }
    }
}

fn rules(width: i128) -> Markup {
    html! {
        @for y in [0, HEIGHT / 2, HEIGHT] {
            line.rule x1="0" x2=(width) y1=(y) y2=(y) {}
        }
    }
}

/// First, middle and last.
fn axis<'a>(names: impl Iterator<Item = &'a str>) -> Markup {
    let names: Vec<&str> = names.collect();
    let shown = [names.first(), names.get(names.len() / 2), names.last()];
    html! {
        div.axis aria-hidden="true" {
            @for name in shown.into_iter().flatten() {
                span { (name) }
            }
        }
    }
}

fn table(bars: &Bars<'_>) -> Markup {
    html! {
        details.hidden-until {
            summary { "As a table" }
            div.scroll {
                table {
                    caption.hidden { (bars.label) }
                    thead {
                        tr {
                            th { "From" }
                            @for name in bars.series {
                                th.r { (name) }
                            }
                        }
                    }
                    tbody {
                        @for one in {
                            bars.stretches
                                .iter()
                                .filter(|one| one.values.iter().any(|value| *value != 0))
                        } {
                            tr {
                                td { (one.name) }
                                @for shown in &one.shown {
                                    td.r { (shown) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A value over time, with lines at levels.
pub struct Curve<'a> {
    pub label: &'a str,
    /// Time in milliseconds, value, and what is said of it; in order of time.
    pub points: Vec<(i64, i128, String)>,
    /// Value, name, and number of its colour.
    pub levels: Vec<(i128, String, usize)>,
    pub axis: [String; 2],
    pub most: String,
}

const CURVE_WIDTH: i128 = 2_000;

pub fn curve(curve: &Curve<'_>) -> Markup {
    let values = curve.points.iter().map(|(_, value, _)| *value);
    let values = values.chain(curve.levels.iter().map(|(value, ..)| *value)).chain([0]);
    let (low, high) = values.fold((0, 1), |(low, high), value| (low.min(value), high.max(value)));
    let y = |value: i128| HEIGHT - (value - low) * HEIGHT / (high - low).max(1);
    let first = curve.points.first().map_or(0, |(at, ..)| *at);
    let last = curve.points.last().map_or(1, |(at, ..)| *at).max(first + 1);
    let x = |at: i64| i128::from(at - first) * CURVE_WIDTH / i128::from(last - first);
    let line = stairs(curve, x, y);
    let area = format!("{line} V{} H0 Z", y(0));
    html! {
        figure.chart.tall {
            svg viewBox={ "0 -20 " (CURVE_WIDTH) " 1040" }
                preserveAspectRatio="none"
                role="img"
                aria-label=(curve.label)
            {
                (rules(CURVE_WIDTH))
                path.area d=(area) {}
                path.line.l1 d=(line) {}
                @for (value, name, colour) in &curve.levels {
                    line
                        class={ "level l" (colour) }
                        x1="0"
                        x2=(CURVE_WIDTH)
                        y1=(y(*value))
                        y2=(y(*value))
                        data-tip=(name) {}
                }
                @for (left, width, tip) in hits(curve, x) {
                    rect.hit x=(left) y="-20" width=(width) height="1040" data-tip=(tip) {}
                }
            }
            span.most { (curve.most) }
            (axis(curve.axis.iter().map(String::as_str)))
        }
    }
}

/// A balance stays as it is until the next entry.
fn stairs(curve: &Curve<'_>, x: impl Fn(i64) -> i128, y: impl Fn(i128) -> i128) -> String {
    use std::fmt::Write as _;
    let mut line = String::new();
    for (index, (at, value, _)) in curve.points.iter().enumerate() {
        // Writing to a text cannot fail.
        let _ = if index == 0 {
            write!(line, "M{} {}", x(*at), y(*value))
        } else {
            write!(line, " H{} V{}", x(*at), y(*value))
        };
    }
    line
}

fn hits<'a>(curve: &'a Curve<'_>, x: impl Fn(i64) -> i128) -> Vec<(i128, i128, &'a str)> {
    let ends = curve.points.iter().skip(1).map(|(at, ..)| x(*at)).chain([CURVE_WIDTH]);
    let pairs = curve.points.iter().zip(ends);
    pairs.map(|((at, _, tip), end)| (x(*at), (end - x(*at)).max(4), tip.as_str())).collect()
}

/// Names with their counts, the longest bar first.
pub fn ranks(rows: &[(String, i64, Markup)]) -> Markup {
    let most = rows.iter().map(|(_, count, _)| *count).max().unwrap_or(1).max(1);
    html! {
        ul.bars {
            @for (name, count, shown) in rows {
                li {
                    span.name { (name) } span { (shown) }
                    meter min="0" max=(most) value=(count) aria-label=(name) {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stand_on_the_ground_and_the_highest_reaches_the_top() {
        let stretch = |values: [i128; 2]| Stretch {
            name: String::new(),
            values: values.to_vec(),
            shown: vec![String::new(); 2],
        };
        let chart = Bars {
            label: "x",
            series: &["in", "out"],
            stretches: vec![stretch([0, 0]), stretch([50, 100]), stretch([1, 0])],
            most: String::new(),
            stacked: false,
        };
        let most = largest(&chart);
        let heights: Vec<i128> = (0..3)
            .flat_map(|at| boxes(&chart, at, most))
            .map(|(_, [_, y, _, h])| {
                assert_eq!(y + h, HEIGHT);
                h
            })
            .collect();
        assert_eq!(heights, [0, 0, 500, 1_000, 10, 0]);
    }
}
