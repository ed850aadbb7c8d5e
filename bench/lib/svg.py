"""A plot without a library: for each row of figures a group of bars, as multiples of one contestant."""
from xml.sax.saxutils import escape

COLOURS = {"ringway": "#0b7285", "nginx": "#868e96", "haproxy": "#e8590c", "envoy": "#ae3ec9", "floor": "#ced4da", "direct": "#f1f3f5"}
LABEL_WIDTH, PLOT_WIDTH, BAR, GAP, TOP = 330, 560, 9, 9, 64
RATIO_MAX = 2.5  # longer bars are cut, their number says how long they are


def bars(rows, names, base, title):
    rows = [row for row in rows if row.figures.get(base, {}).get("value", 0) > 0]
    scale = PLOT_WIDTH / RATIO_MAX
    height = TOP + sum(len([n for n in names if n in row.figures]) * BAR + GAP for row in rows) + 20
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{LABEL_WIDTH + PLOT_WIDTH + 60}" height="{height}" '
           'font-family="sans-serif" font-size="11">',
           '<rect width="100%" height="100%" fill="white"/>',
           f'<text x="10" y="18" font-size="12" font-weight="bold">{escape(title)}</text>']
    for i, name in enumerate(names):
        out.append(f'<rect x="{10 + i * 90}" y="30" width="10" height="10" fill="{COLOURS.get(name, "#000")}" stroke="#adb5bd"/>'
                   f'<text x="{24 + i * 90}" y="39">{escape(name)}</text>')
    for tick in (0.5, 1.0, 1.5, 2.0):
        x = LABEL_WIDTH + tick * scale
        out.append(f'<line x1="{x}" y1="{TOP - 8}" x2="{x}" y2="{height - 12}" stroke="{"#495057" if tick == 1 else "#dee2e6"}"/>'
                   f'<text x="{x}" y="{TOP - 12}" text-anchor="middle">{tick}</text>')
    y = TOP
    for row in rows:
        unit = row.figures[base]["value"]
        present = [name for name in names if name in row.figures]
        out.append(f'<text x="{LABEL_WIDTH - 8}" y="{y + len(present) * BAR / 2 + 4}" text-anchor="end">{escape(row.case)}</text>')
        for name in present:
            ratio = row.figures[name]["value"] / unit
            width = max(1, min(ratio, RATIO_MAX) * scale)
            out.append(f'<rect x="{LABEL_WIDTH}" y="{y}" width="{width:.1f}" height="{BAR - 1}" fill="{COLOURS.get(name, "#000")}" '
                       f'stroke="#adb5bd" stroke-width="0.3"/><text x="{LABEL_WIDTH + width + 3:.1f}" y="{y + BAR - 2}" '
                       f'font-size="8">{ratio:.2f}</text>')
            y += BAR
        y += GAP
    return "\n".join([*out, "</svg>"]) + "\n"
