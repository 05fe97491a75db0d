//! Small drawings of the menu and of buttons, each one path of a 16 × 16 field.

use maud::{Markup, html};

const SHAPES: &[(&str, &str)] = &[
    ("home", "M2.5 7.5 8 2.8l5.5 4.7v5.7h-4V9.5h-3v3.7h-4z"),
    (
        "people",
        "M6 7.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5zM1.5 13.5c0-2.5 2-4 4.5-4s4.5 1.5 4.5 4\
         M10.7 7.2a2 2 0 1 0 0-4M12 9.7c1.6.5 2.5 1.8 2.5 3.8",
    ),
    ("gate", "M2.5 13.5v-9M13.5 13.5v-9M2.5 5.5h11M5.5 13.5v-8M8 13.5v-8M10.5 13.5v-8"),
    ("bolt", "M8.8 1.8 3.5 9h3.8l-.8 5.2L12.5 7H8.3z"),
    ("feed", "M2.5 4h11M2.5 8h11M2.5 12h7"),
    ("code", "M5.5 4.5 2 8l3.5 3.5M10.5 4.5 14 8l-3.5 3.5"),
    ("clock", "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM8 4.8V8l2.2 1.6"),
    ("book", "M3 2.8h8.5a1.5 1.5 0 0 1 1.5 1.5v9H4.5A1.5 1.5 0 0 1 3 11.8zM5.5 6h5M5.5 8.7h5"),
    (
        "gear",
        "M2 4.5h7M12.5 4.5H14M2 11.5h1.5M7 11.5h7\
         M10.7 6.2a1.7 1.7 0 1 0 0-3.4 1.7 1.7 0 0 0 0 3.4z\
         M5.2 13.2a1.7 1.7 0 1 0 0-3.4 1.7 1.7 0 0 0 0 3.4z",
    ),
    ("pulse", "M1.5 8.5h3l2-5 3 9 2-4h3"),
    ("half", "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM8 2v12M10 3.5v9M12 5.5v5"),
    ("menu", "M2 4.5h12M2 8h12M2 11.5h12"),
    ("close", "M4 4l8 8M12 4l-8 8"),
    ("copy", "M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z"),
    ("warn", "M8 2 1.5 13.5h13zM8 6.5v3.2M8 11.6v.2"),
    ("plus", "M8 3v10M3 8h10"),
];

pub fn icon(name: &str) -> Markup {
    let shape = SHAPES.iter().find(|(known, _)| *known == name).map_or("", |(_, shape)| shape);
    html! {
        svg .icon
            viewBox="0 0 16 16"
            width="16"
            height="16"
            aria-hidden="true"
            fill="none"
            stroke="currentColor"
            stroke-width="1.4"
            stroke-linecap="round"
            stroke-linejoin="round"
        {
            path d=(shape) {}
        }
    }
}
