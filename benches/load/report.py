"""From results to tables, to a chart, and into docs/performance.md."""

import html
from statistics import median

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"

# What is aimed for: the part of a ceiling, by the request. Others are shown without an aim.
AIMS = {
    "client-credentials-RS256": ("of_signature", 0.90),
    "client-credentials-ES256": ("of_minimal", 0.75),
    "client-credentials-EdDSA": ("of_minimal", 0.75),
}
START_MS, START_MB = 60, 20

# Beyond this part of the server's core that other programs used, a row says so.
DISTURBED = 0.05


def number(value):
    """Three figures: more would be noise."""
    if value >= 100:
        rounded = round(value, -2) if value >= 10_000 else round(value, -1) if value >= 1_000 else round(value)
        return f"{rounded:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def percent(part):
    return f"{100 * part:.0f} %"


def table(head, rows):
    """Markdown that is also readable as it is: the first column is left-aligned, the others right-aligned."""
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
    pad = lambda row: [cell.ljust(width) if at == 0 else cell.rjust(width) for at, (cell, width) in enumerate(zip(row, widths))]
    rule = ["-" * width if at == 0 else "-" * (width - 1) + ":" for at, width in enumerate(widths)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [pad(head), rule, *map(pad, rows)])


def several_databases(rows):
    """The requests that were measured on PostgreSQL too."""
    return {row["case"] for row in rows if row["database"] == "PostgreSQL"}


def titled(row, both):
    return f"{row['title']}, {row['database']}" if row["case"] in both else row["title"]


def of(rows, server):
    return [row for row in rows if row["server"] == server]


def requests(results):
    """Every request: rates, times, memory."""
    rows, both = of(results["rows"], "Grantor"), several_databases(results["rows"])
    theirs = {row["case"]: row for row in of(results["rows"], "Keycloak")}
    head = ["request", "per second and core", "p50 ms", "p99 ms", "core busy", "MB before", "MB after"]
    lines = []
    for row in rows:
        line = [titled(row, both), number(row["rate"]), f"{row['p50']:.2f}", f"{row['p99']:.2f}", percent(row["busy"])]
        line += [f"{row['memory_before']:.0f}", f"{row['memory_after']:.0f}"]
        if theirs:
            # Keycloak keeps its data in its own embedded database: what Grantor does on SQLite.
            other = theirs.get(row["case"]) if row["database"] == "SQLite" else None
            line += [number(other["rate"]), f"{other['p99']:.1f}", f"{row['rate'] / other['rate']:.1f}"] if other else ["", "", ""]
        lines.append(line)
    if theirs:
        head += ["Keycloak per second", "its p99 ms", "times"]
    text = table(head, lines)
    disturbed = [titled(row, both) for row in rows if row["others"] > DISTURBED]
    if disturbed:
        text += f"\n\n**Disturbed**: other programs used more than {percent(DISTURBED)} of the core during: {'; '.join(disturbed)}."
    if theirs:
        used = max(row["memory_after"] for row in theirs.values())
        text += f"\n\nKeycloak's memory after all of this: {used:.0f} MB."
    return text


def verdict(reached):
    return "reached" if reached else "**missed**"


def ceilings(results):
    """What one core could do at most, and how much of it is reached."""
    head = ["request", "Grantor", "bare signature", "of it", "minimal handler", "of it", "aim", ""]
    lines = []
    for row in of(results["rows"], "Grantor"):
        if row.get("signature") is None:
            continue
        measure, aim = AIMS.get(row["case"], ("of_signature", None))
        what = "signature" if measure == "of_signature" else "handler"
        judged = [f"{percent(aim)} of the {what}", verdict(row[measure] >= aim)] if aim else ["", ""]
        lines.append(
            [
                row["title"],
                number(row["rate"]),
                number(row["signature"]),
                percent(row["of_signature"]),
                number(row["minimal"]),
                percent(row["of_minimal"]),
                *judged,
            ]
        )
    if not lines:
        return ""
    text = table(head, lines)
    if results.get("fixed"):
        text += f"\n\nThe minimal handler with an answer that never changes: {number(results['fixed'])} per second."
    return text


def starts(results):
    start = results.get("start")
    if not start:
        return ""
    spread = lambda values, unit: f"{median(values):.1f} {unit}"
    reach = lambda values: f"{min(values):.1f} to {max(values):.1f}"
    rows = []
    for key, title, unit, aim in [
        ("first", "empty folder to first token", "ms", START_MS),
        ("first_memory", "memory after that token", "MB", START_MB),
        ("second", "second start to first token", "ms", None),
        ("second_memory", "memory after that token", "MB", None),
    ]:
        values = start[key]
        aimed = [f"under {aim} {unit}", verdict(median(values) < aim)] if aim else ["", ""]
        rows.append([title, spread(values, unit), reach(values), *aimed])
    return table(["start", f"median of {len(start['first'])}", "from … to", "aim", ""], rows)


def about(results):
    settings = results["settings"]
    text = (
        f"{results['version']} ({results['commit']}), {results['date']}, {results['cpu']}, {results['cores']} cores, {results['system']}"
    )
    if results["rows"]:
        place = "the server on one core, wrk on another" if settings["pinned"] else "**server and wrk not kept apart**"
        text += (
            f"; {place}, {settings['connections']} connections, medians of {settings['rounds']} times {settings['seconds']} s"
        )
        if settings.get("log_level"):
            text += f", log level {settings['log_level']}"
    return text + "."


def tables(results):
    parts = [about(results)]
    if results["rows"]:
        parts += [requests(results), ceilings(results)]
    parts.append(starts(results))
    return "\n\n".join(part for part in parts if part)


def write(results, file):
    """Puts the tables between the marks of a page."""
    page = file.read_text()
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{file} has no place for results: {BEGIN} … {END}")
    file.write_text(f"{before}{BEGIN}\n\n`{results['command']}`\n\n{tables(results)}\n\n{END}{after}")


STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328; }
.head { font-weight: 600; }
.small { fill: #59636e; }
.grantor { fill: #0969da; } .minimal { fill: #8c959f; } .signature { fill: #c4cbd2; } .keycloak { fill: #bc4c00; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; } .small { fill: #9198a1; }
  .grantor { fill: #4493f8; } .minimal { fill: #7d8590; } .signature { fill: #4a525b; } .keycloak { fill: #f0883e; }
}
"""


def groups(results):
    """What is drawn on one scale: a request with what it is compared with, and the requests that are compared with nothing."""
    both = several_databases(results["rows"])
    theirs = {row["case"]: row["rate"] for row in of(results["rows"], "Keycloak")}
    alone = []
    for row in of(results["rows"], "Grantor"):
        bars = [("grantor", "Grantor", row["rate"])]
        if row.get("signature") is not None:
            bars += [("minimal", "minimal handler", row["minimal"]), ("signature", "bare signature", row["signature"])]
        if row["case"] in theirs and row["database"] == "SQLite":
            bars.append(("keycloak", "Keycloak", theirs[row["case"]]))
        if len(bars) > 1:
            yield titled(row, both), bars
        else:
            alone.append(("grantor", titled(row, both), row["rate"]))
    if alone:
        yield "Grantor, other requests", alone


def chart(results):
    """Bars, each group on a scale of its own. No background, so that it suits any page."""
    left, width, bar, y = 12, 420, 15, 26
    parts = [f'<text class="small" x="{left}" y="{y}">Requests per second on one core; each group has its own scale</text>']
    for title, bars in groups(results):
        longest = max(value for _, _, value in bars)
        y += 32
        parts.append(f'<text class="head" x="{left}" y="{y}">{html.escape(title)}</text>')
        y += 7
        for kind, name, value in bars:
            long, label = max(1, round(width * value / longest)), f'<tspan class="small">{html.escape(name)}</tspan>'
            parts.append(f'<rect class="{kind}" x="{left}" y="{y}" width="{long}" height="{bar}" rx="2"/>')
            parts.append(f'<text x="{left + long + 8}" y="{y + bar - 3}">{number(value)} {label}</text>')
            y += bar + 4
    height = y + 12
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="720" height="{height}" viewBox="0 0 720 {height}" role="img" '
        f'aria-label="Requests per second on one core">\n<style>{STYLE}</style>\n' + "\n".join(parts) + "\n</svg>\n"
    )
