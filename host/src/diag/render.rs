//! Diagnostics as text, in the manner of rustc.

use annotate_snippets::{
    AnnotationKind, Level, Origin, Renderer, Snippet, normalize_untrusted_str,
};

use super::{Diagnostic, Severity, SourceFile};

/// Whether the text may hold terminal colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// For files and pipes.
    Plain,
    /// For terminals.
    Coloured,
}

/// Returns all diagnostics in the order of their place, then a line that counts them.
///
/// Those without a place come first. Returns an empty text when there are none.
pub fn render(diagnostics: &[Diagnostic], file: &SourceFile, style: Style) -> String {
    if diagnostics.is_empty() {
        return String::new();
    }
    let mut sorted: Vec<&Diagnostic> = diagnostics.iter().collect();
    sorted.sort_by_key(|one| {
        (one.span.as_ref().map(|span| (span.start, span.end)), one.severity, &one.message)
    });
    let renderer = match style {
        Style::Plain => Renderer::plain(),
        Style::Coloured => Renderer::styled(),
    };
    let mut out = String::new();
    for one in sorted {
        out.push_str(&render_one(one, file, &renderer));
        out.push_str("\n\n");
    }
    out.push_str(&count(diagnostics));
    out.push('\n');
    out
}

fn render_one(one: &Diagnostic, file: &SourceFile, renderer: &Renderer) -> String {
    let level = match one.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(one.message.as_str());
    let help = one.help.iter().map(|text| Level::HELP.message(normalize_untrusted_str(text)));
    let Some(span) = &one.span else {
        let origin = Origin::path(file.path.display().to_string());
        return renderer.render(&[title.element(origin).elements(help)]);
    };
    let (path, text, local) = file.place(span);
    let annotation = AnnotationKind::Primary.span(local).label(one.label.as_deref());
    let snippet = Snippet::source(text).path(path).annotation(annotation);
    renderer.render(&[title.element(snippet).elements(help)])
}

fn count(diagnostics: &[Diagnostic]) -> String {
    let errors = diagnostics.iter().filter(|one| one.severity == Severity::Error).count();
    let warnings = diagnostics.len() - errors;
    let word = |count: usize, word: &str| match count {
        0 => None,
        1 => Some(format!("1 {word}")),
        _ => Some(format!("{count} {word}s")),
    };
    let parts: Vec<String> =
        [word(errors, "error"), word(warnings, "warning")].into_iter().flatten().collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_place_label_and_help_in_order_of_place() {
        let file = SourceFile::new("p.toml", "name = 1\nother = \"é\" # x\n");
        let diagnostics = [
            Diagnostic::warning("second").at(17..21),
            Diagnostic::error("first").at(7..8).label("here").help("write a text"),
            Diagnostic::error("whole file"),
        ];
        let expected = "\
error: whole file
--> p.toml

error: first
 --> p.toml:1:8
  |
1 | name = 1
  |        ^ here
  |
  = help: write a text

warning: second
 --> p.toml:2:9
  |
2 | other = \"é\" # x
  |         ^^^

2 errors, 1 warning
";
        assert_eq!(render(&diagnostics, &file, Style::Plain), expected);
    }

    #[test]
    fn any_span_renders() {
        let texts = ["", "é", "a\r\nb\r\n", "\u{1b}[31m\0", "\n\n"];
        for text in texts {
            let file = SourceFile::new("p.toml", text);
            for start in 0..6 {
                for end in 0..9 {
                    for style in [Style::Plain, Style::Coloured] {
                        let one = Diagnostic { span: Some(start..end), ..Diagnostic::error("x") };
                        assert!(!render(&[one], &file, style).is_empty());
                    }
                }
            }
        }
    }

    #[test]
    fn no_diagnostics_are_no_text() {
        assert_eq!(render(&[], &SourceFile::default(), Style::Plain), "");
    }
}
