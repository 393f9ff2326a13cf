"""Draws features as web pages that need nothing else: a feature, features over a text, a map.

Knows views, labels and HTML; plotly draws the charts and comes into the page whole. A page follows
the browser's light or dark setting.
"""

import html
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from anima.errors import UsageError
from anima.features.labels import FeatureLabel, Labels
from anima.features.views import FeatureView, Passing, TokensView

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --soft: #59636e; --paper: #ffffff;
  --line: #d8dee4; --shade: 224, 123, 0; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9198a1; --paper: #15181d;
  --line: #343b44; --shade: 255, 149, 0; } }
body { background: var(--paper); color: var(--ink); margin: 2rem auto; max-width: 68rem;
  padding: 0 1.5rem; font: 15px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.45rem; margin: 0 0 .3rem; } h2 { font-size: 1.05rem; margin: 2rem 0 .4rem; }
.soft { color: var(--soft); } .wide { overflow-x: auto; }
.text { margin: .45rem 0; padding: .35rem .6rem; border-left: 3px solid var(--line);
  white-space: pre-wrap; overflow-wrap: anywhere; }
.text span { background: rgba(var(--shade), var(--a)); border-radius: 3px; padding: .1em 0; }
.text span.peak { outline: 2px solid rgb(var(--shade)); outline-offset: -1px; }
.value { float: right; color: var(--soft); font-variant-numeric: tabular-nums; margin-left: 1rem; }
.key { display: inline-block; width: 9rem; height: .8rem; border-radius: 3px; margin: 0 .5rem;
  vertical-align: middle; background: linear-gradient(to right, rgba(var(--shade), 0),
  rgba(var(--shade), .75)); }
.key.full { background: linear-gradient(to right, rgba(224,123,0,0), rgba(224,123,0,.35) 15%,
  rgba(224,90,0,1)); }
"""
# plotly has its colours in the figure: they are taken from the page, and again when it changes.
_SCRIPT = """
const dark = matchMedia("(prefers-color-scheme: dark)");
function dress() {
  const of = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  for (const chart of document.querySelectorAll(".js-plotly-plot")) {
    const change = {"font.color": of("--ink"), "hoverlabel.bgcolor": of("--paper"),
      "hoverlabel.font.color": of("--ink"), "hoverlabel.bordercolor": of("--line")};
    for (const axis of Object.keys(chart._fullLayout).filter(key => /^[xy]axis/.test(key))) {
      change[axis + ".gridcolor"] = of("--line"); change[axis + ".zerolinecolor"] = of("--line");
      change[axis + ".linecolor"] = of("--line");
    }
    Plotly.relayout(chart, change);
  }
}
dress(); dark.addEventListener("change", dress);
"""
_BAR, _LOWERED = "#e07b00", "#3b82c4"
_RARITY = [[0.0, "#3b82c4"], [0.5, "#a3649f"], [1.0, "#f0a020"]]
_SCALE = [[0.0, "rgba(224,123,0,0)"], [0.15, "rgba(224,123,0,0.35)"], [1.0, "rgba(224,90,0,1)"]]


def feature_page(
    label: FeatureLabel,
    view: FeatureView,
    effects: Sequence[tuple[str, float]],
    *,
    sae: str,
    source: str,
) -> str:
    """One feature: how active, on what, and what it does to the next token.

    `effects` are tokens with their logit-lens score in standard deviations, the largest first, those
    lowered last.
    """
    active = len(view.activations)
    share = active / view.tokens if view.tokens else 0.0
    facts = (
        f"Feature {label.feature} of {sae}. Active on {share:.2%} of {view.tokens:,} content "
        f"tokens of {source}; largest activation {label.maximum:.3g}."
    )
    edited = " The label was written by a person." if label.edited else ""
    top = max((max(one.activations) for one in view.strongest), default=1.0)
    parts = [
        f"<h1>{_safe(label.label) or 'no label'}</h1>",
        f'<p class="soft">{_safe(facts + edited)}</p>',
        "<h2>How strongly it is active, where it is</h2>",
        _chart(_histogram(view.activations)),
        "<h2>What its direction does to the next token</h2>",
        '<p class="soft">The decoder row read by the model\'s own final norm and unembedding. In '
        "standard deviations over the tokens that the texts use: the norm takes its length away.</p>",
        _chart(_bars(effects)),
        "<h2>Where it is strongest</h2>",
        f'<p class="soft">The largest peak of each conversation, framed; shading from 0 '
        f'<span class="key"></span> to {top:.3g}. A turn ends at ⏎.</p>',
        *(_passage(one, top) for one in view.strongest),
    ]
    if view.usual:
        parts += [
            "<h2>Where it is usually active</h2>",
            '<p class="soft">Peaks drawn evenly from the rest, strong to weak.</p>',
            *(_passage(one, top) for one in view.usual),
        ]
    return _page(f"Feature {label.feature}: {label.label}", parts)


def tokens_page(view: TokensView, labels: Labels, *, sae: str, source: str) -> str:
    """A heatmap of features over the tokens of a conversation.

    Raises UsageError where no feature is active.
    """
    if not view.features:
        raise UsageError(f"No feature of {sae} marks this text: give a longer one.")
    parts = [
        f"<h1>Features over {_safe(source)}</h1>",
        f'<p class="soft">{_safe(sae)}. Each row is a feature with its number, each column a token. '
        "Activation as a share of the feature's own maximum: 0 % "
        '<span class="key full"></span> 100 %. Rows stand in the order of their peaks, a dotted line '
        "between two turns; features that are active nearly everywhere are left out.</p>",
        f'<div class="wide">{_chart(_heatmap(view, labels))}</div>',
    ]
    return _page(f"Features over {source}", parts, wide=True)


def map_page(places: np.ndarray, features: Sequence[int], labels: Labels, *, sae: str) -> str:
    """The decoder rows as points `[k, 2]`, coloured by density; the label where the mouse is."""
    parts = [
        f"<h1>A map of the features of {_safe(sae)}</h1>",
        f'<p class="soft">{len(features):,} decoder rows by t-SNE on their cosine distance: '
        "neighbours point alike, and distances across the map say nothing. The colour is how often "
        "a feature is active.</p>",
        _chart(_scatter(places, features, labels)),
    ]
    return _page(f"Map of {sae}", parts)


def _histogram(activations: np.ndarray) -> "Figure":
    from plotly.graph_objects import Bar, Figure

    counts, edges = np.histogram(activations, bins=40)
    middles = (edges[:-1] + edges[1:]) / 2
    figure = Figure(
        Bar(
            x=middles, y=counts, width=np.diff(edges) * 0.92, marker_color=_BAR,
            hovertemplate="activation about %{x:.3g}: %{y:,} tokens<extra></extra>",
        )
    )  # fmt: skip
    figure.update_xaxes(title="activation (units of the SAE)", rangemode="tozero")
    # Where one bin holds thousands the tail, which a feature is about, would not be seen.
    kind = "log" if counts.max(initial=0) > 200 else "linear"
    scale = ", logarithmic" if kind == "log" else ""
    figure.update_yaxes(
        title=f"tokens (count{scale})", type=kind, dtick=1 if kind == "log" else None
    )
    return _dressed(figure, height=300)


def _bars(effects: Sequence[tuple[str, float]]) -> "Figure":
    from plotly.graph_objects import Bar, Figure

    names = [_seen(token) for token, _ in effects]
    values = [value for _, value in effects]
    figure = Figure(
        Bar(
            x=values, y=list(range(len(effects))), orientation="h", customdata=names,
            marker_color=[_BAR if value > 0 else _LOWERED for value in values],
            hovertemplate="%{customdata}: %{x:+.2f}<extra></extra>",
        )
    )  # fmt: skip
    figure.update_xaxes(title="logit effect (standard deviations)")
    figure.update_yaxes(
        title={"text": "token", "standoff": 14}, autorange="reversed", showgrid=False, zeroline=False,
        tickvals=list(range(len(effects))), ticktext=names,
    )  # fmt: skip
    return _dressed(figure, height=80 + 21 * len(effects))


def _heatmap(view: TokensView, labels: Labels) -> "Figure":
    from plotly.graph_objects import Figure, Heatmap

    names = [
        f"{_cut(labels.label(feature) or 'no label', 44)}  {feature}" for feature in view.features
    ]
    columns = list(range(len(view.tokens)))
    shown = [_seen(token) for token in view.tokens]
    said = [f"{token} ({role})" for token, role in zip(shown, view.roles, strict=True)]
    figure = Figure(
        Heatmap(
            z=np.where(view.shares > 0, view.shares, np.nan), x=columns, y=list(range(len(names))),
            zmin=0, zmax=1, colorscale=_SCALE, xgap=1, ygap=1, hoverongaps=False,
            customdata=[[[name, one] for one in said] for name in names],
            hovertemplate="%{customdata[0]}<br>on %{customdata[1]}: %{z:.0%}<extra></extra>",
            showscale=False,
        )
    )  # fmt: skip
    figure.update_xaxes(
        title="token", tickvals=columns, ticktext=shown, tickangle=-90, side="top", showgrid=False,
        zeroline=False,
    )  # fmt: skip
    figure.update_yaxes(
        title="feature", tickvals=list(range(len(names))), ticktext=names, autorange="reversed",
        showgrid=False, zeroline=False,
    )  # fmt: skip
    for place in _changes(view.roles):
        figure.add_vline(x=place - 0.5, line_width=1, line_dash="dot", line_color="#8b949e")
    dressed = _dressed(figure, height=190 + 21 * len(names))
    return dressed.update_layout(
        width=370 + 15 * len(columns), margin={"l": 330, "t": 130, "r": 20, "b": 20}
    )


def _changes(roles: Sequence[str]) -> list[int]:
    return [at for at in range(1, len(roles)) if roles[at] != roles[at - 1]]


def _scatter(places: np.ndarray, features: Sequence[int], labels: Labels) -> "Figure":
    from plotly.graph_objects import Figure, Scattergl

    known = [labels.get(feature) for feature in features]
    density = np.array([1e-6 if one is None else max(one.density, 1e-6) for one in known])
    texts = [
        f"{feature}: {_safe(one.label if one else 'no label')}<br>active on {share:.3%}"
        for feature, one, share in zip(features, known, density, strict=True)
    ]
    low, high = np.log10(np.quantile(density, (0.005, 0.995)))
    ticks = [step * 10.0**power for power in range(int(np.floor(low)), 1) for step in (1, 3)]
    figure = Figure(
        Scattergl(
            x=places[:, 0], y=places[:, 1], mode="markers", text=texts,
            hovertemplate="%{text}<extra></extra>",
            marker={
                "size": 4, "opacity": 0.8, "color": np.log10(density), "colorscale": _RARITY,
                "cmin": low, "cmax": high,
                "colorbar": {
                    "title": "share of tokens<br>where active", "thickness": 12,
                    "tickvals": np.log10(ticks),
                    "ticktext": [f"{100 * tick:.4g} %" for tick in ticks],
                },
            },
        )
    )  # fmt: skip
    figure.update_xaxes(
        title="t-SNE, first axis (no unit)", showticklabels=False, showgrid=False, zeroline=False
    )
    figure.update_yaxes(
        title="t-SNE, second axis (no unit)", showticklabels=False, showgrid=False, zeroline=False,
        scaleanchor="x",
    )  # fmt: skip
    return _dressed(figure, height=780)


def _dressed(figure: "Figure", *, height: int) -> "Figure":
    return figure.update_layout(
        height=height, template="none", paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 12}, showlegend=False, bargap=0.1,
        margin={"l": 10, "r": 10, "t": 34, "b": 10}, hovermode="closest",
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": "#8b949e", "activecolor": _BAR},
    ).update_xaxes(automargin=True).update_yaxes(automargin=True, ticksuffix=" ")  # fmt: skip


def _chart(figure: "Figure") -> str:
    drawn: str = figure.to_html(
        full_html=False, include_plotlyjs=False, config={"displaylogo": False, "responsive": True}
    )
    return drawn


def _passage(one: Passing, top: float) -> str:
    spans = []
    for place, (token, value) in enumerate(zip(one.tokens, one.activations, strict=True)):
        kind = ' class="peak"' if place == one.peak else ""
        strength = f"--a: {0.75 * max(value, 0) / top:.3f}"
        title = f' title="{value:.3g}"' if value > 0 else ""
        shown = _safe(token if place else token.lstrip())
        spans.append(f'<span{kind} style="{strength}"{title}>{shown}</span>')
    peak = one.activations[one.peak]
    return f'<div class="text"><span class="value">{peak:.3g}</span>{"".join(spans)}</div>'


def _page(title: str, parts: Sequence[str], *, wide: bool = False) -> str:
    """A whole page with its styles and plotly inside: it is one file and asks for nothing."""
    from plotly.offline import get_plotlyjs

    width = "body { max-width: none; }" if wide else ""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{_safe(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}{width}</style><script>{get_plotlyjs()}</script></head>\n<body>"
        + "\n".join(parts)
        + f"<script>{_SCRIPT}</script></body></html>\n"
    )


def _safe(text: str) -> str:
    return html.escape(text)


def _seen(token: str) -> str:
    """A token as a tick: its spaces and line ends to be seen, and nothing taken for markup."""
    return _safe(_cut(json.dumps(token, ensure_ascii=False)[1:-1].replace(" ", "␣"), 18))


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
