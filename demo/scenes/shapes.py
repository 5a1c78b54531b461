"""Six classes of objects with parts and named key points.

Each class is a function that draws random proportions and returns a :class:`Shape` in its own
frame: about the square [-1, 1]^2, x to the right, y down, upright, facing left. No shape fills its
bounding box: each has concavities, thin parts or a hole.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from .curves import Points, ellipse, point, polygon, rotate, smooth, stroke
from .shape import Part, Shape


def fish(rng: np.random.Generator) -> Shape:
    """A fish facing left: body, head, eye, forked tail, two fins; the spine bends."""
    height, fork, bend = rng.uniform(0.5, 0.64), rng.uniform(0.48, 0.64), rng.uniform(-0.2, 0.2)
    fin, fin_x = rng.uniform(0.24, 0.36), rng.uniform(-0.15, 0.1)

    def bent(*vertices: ArrayLike) -> Points:
        curve = polygon(*vertices)
        curve[:, 1] += bend * curve[:, 0] ** 2
        return curve

    nose, gill, eye, root = bent((-1, 0.03), (-0.46, 0), (-0.72, -0.25 * height), (0.56, 0))
    back = bent((-0.6, -0.8 * height), (-0.1, -height), (0.35, -0.55 * height), (0.62, -0.09))
    belly = bent((0.62, 0.09), (0.35, 0.5 * height), (-0.1, height), (-0.6, 0.75 * height))
    upper = bent((0.5, -0.08), (0.76, -0.75 * fork), (1.05, -fork), (0.97, -0.5 * fork))
    lower = bent((0.97, 0.5 * fork), (1.05, fork), (0.76, 0.75 * fork), (0.5, 0.08))
    crest = polygon((-0.32, 0.3), (0, -0.7 * fin), (0.3, -fin), (0.24, 0), (0.34, 0.2))
    dorsal = bent(*(crest + (fin_x, -height)))
    pelvic = bent(
        *(
            polygon((-0.22, -0.1), (0, 0.6 * fin), (0.22, 0.75 * fin), (0.14, -0.1))
            + (fin_x, height)
        )
    )
    parts = (
        Part("fin", np.concatenate([upper, bent((0.86, 0)), lower])),
        Part("fin", dorsal),
        Part("fin", pelvic),
        Part("body", smooth([nose, *back, *belly], closed=True)),
        Part(
            "head",
            smooth([nose, back[0], gill - (0, 0.1), gill + (0, 0.1), belly[-1]], closed=True),
        ),
        Part("light", ellipse(eye, 0.08)),
        Part("dark", ellipse(eye - (0.015, 0), 0.045)),
    )
    keypoints = {
        "nose": nose + (0.04, 0),
        "eye": eye,
        "gill": gill,
        "dorsal fin tip": dorsal[2] + (-0.04, 0.05),
        "pelvic fin tip": pelvic[2] + (-0.03, -0.05),
        "tail root": root,
        "upper tail tip": upper[2] + (-0.03, 0.05),
        "lower tail tip": lower[1] + (-0.03, -0.05),
    }
    return Shape(parts, keypoints)


def airplane(rng: np.random.Generator) -> Shape:
    """An airliner from the side and above, nose to the left; the far wing is foreshortened."""
    body, sweep, chord = rng.uniform(0.5, 0.6), rng.uniform(0.12, 0.3), rng.uniform(0.7, 0.84)
    near, far, height = rng.uniform(0.6, 0.8), rng.uniform(0.42, 0.56), rng.uniform(0.36, 0.46)
    root = point(rng.uniform(-0.32, -0.18), 0.05)

    def wing(corner: Points, reach: float, chord: float, sweep: float) -> Points:
        tip = corner + (sweep, reach)
        return polygon(corner, tip, tip + (0.6 * chord, 0), corner + (chord, 0))

    near_wing, near_tail = wing(root, near, chord, sweep), wing(point(0.64, 0.02), 0.34, 0.3, 0.16)
    far_wing = wing(root + (0.08, -0.1), -far, 0.85 * chord, sweep)
    far_tail = wing(point(0.68, -0.03), -0.2, 0.26, 0.14)
    rudder = wing(point(0.56, -0.06), -0.04 - height, 0.4, 0.24)
    engine = 0.6 * near_wing[0] + 0.4 * near_wing[1]
    spine = smooth([(-1, 0.04), (-0.5, 0), (0.4, 0), (1, -0.07)])
    profile = body * np.array([0.15, 0.72, 0.96, 1, 1, 1, 0.95, 0.8, 0.6, 0.35])
    parts = (
        Part("wing", far_wing),
        Part("wing", far_tail),
        Part("body", stroke(spine, profile)),
        Part("rudder", rudder),
        Part("stripe", stroke(polygon((-0.62, 0.06), (0.3, 0.06), (0.8, 0)), [0.07, 0.06, 0.03])),
        Part(
            "dark",
            polygon((-0.84, -0.06), (-0.74, -0.36 * body), (-0.62, -0.38 * body), (-0.64, -0.04)),
        ),
        Part("stripe", ellipse(engine + (0.02, 0.03), (0.17, 0.085))),
        Part("wing", near_wing),
        Part("wing", near_tail),
    )
    keypoints = {
        "nose": point(-0.95, 0.03),
        "cockpit": point(-0.71, -0.2 * body),
        "near wing tip": near_wing[1:3].mean(axis=0) - (0, 0.05),
        "far wing tip": far_wing[1:3].mean(axis=0) + (0, 0.05),
        "near wing root": near_wing[[0, 3]].mean(axis=0),
        "engine": engine,
        "rudder tip": rudder[1:3].mean(axis=0) + (0, 0.05),
        "tailplane tip": near_tail[1:3].mean(axis=0) - (0, 0.05),
        "tail end": point(0.94, -0.06),
    }
    return Shape(parts, keypoints)


def umbrella(rng: np.random.Generator) -> Shape:
    """An open umbrella: a scalloped dome of two kinds of gores, ferrule, shaft, hooked handle."""
    dome, scallop, gores = rng.uniform(0.85, 1.0), rng.uniform(0.2, 0.4), int(rng.integers(3, 6))
    shaft, hook, side = rng.uniform(0.2, 0.25), rng.uniform(0.2, 0.26), rng.choice([-1, 1])
    ribs, end = -np.cos(np.linspace(0, np.pi, gores + 1)), point(0, 0.75 - hook)

    def rib(x: float) -> Points:
        return ellipse((0, 0), (abs(x), dome), 270, 360, num=16) * (1 if x > 0 else -1, 1)

    def gore(left: float, right: float) -> Points:
        middle, radii = (0.5 * (left + right), 0), 0.5 * (right - left) * point(1, scallop)
        return np.concatenate(
            [rib(left), ellipse(middle, radii, 180, 360, num=16), rib(right)[::-1]]
        )

    handle = ellipse(end + (side * hook, 0), (-side * hook, hook), 0, 200, num=32)
    pole = polygon((0, -dome - 0.12), (0, -dome), end)
    parts = (
        Part("shaft", stroke(pole, [0.06, 0.6 * shaft, shaft])),
        Part("handle", stroke(handle, 1.25 * shaft)),
        *(Part(f"gore {i % 2}", gore(*ribs[i : i + 2])) for i in range(gores)),
    )
    keypoints = {
        "ferrule": point(0, -dome - 0.09),
        "apex": point(0, 0.05 - dome),
        "left tip": point(-0.95, -0.08),
        "right tip": point(0.95, -0.08),
        "shaft top": point(0, 0.06),
        "shaft bottom": end,
        "handle bottom": end + (side * hook, hook),
        "handle end": handle[-2],
    }
    return Shape(parts, keypoints, symmetric=True)


def teapot(rng: np.random.Generator) -> Shape:
    """A teapot, spout to the left; the handle encloses a hole."""
    width, height, belly = rng.uniform(0.56, 0.66), rng.uniform(0.5, 0.62), rng.uniform(0.02, 0.16)
    lip, lift, grip = rng.uniform(0.25, 0.5), rng.uniform(0.05, 0.2), rng.uniform(0.16, 0.2)
    foot, reach = 0.62 * width, width + rng.uniform(0.42, 0.5)
    left = polygon((-0.55 * width, -height), (-width, belly), (-foot, height))
    body = smooth([*left, *(left[::-1] * (-1, 1))], closed=True)
    dome = ellipse((0, -height + 0.04), (0.62 * width, 0.22), 180, 360)
    knob, root = point(0, -height - 0.23), point(-0.82 * width, 0.2)
    neck = polygon((-width - 0.22, 0.05), (-width - 0.28, -0.6 * lip), (-1.02, -lip))
    spout = smooth([root, *neck])
    top = point(0.75 * width, -0.65 * height)
    shoulder = point(reach - 0.17, top[1] - lift)
    handle = smooth([top, shoulder, point(reach, 0), point(0.85 * width, 0.5 * height)])
    rim = polygon((-foot, -0.03), (foot, -0.03), (1.12 * foot, 0.09), (-1.12 * foot, 0.09))
    sash = polygon((-0.9, 0), (0.9, 0), (0.95, 0.16), (-0.95, 0.16))
    parts = (
        Part("handle", stroke(handle, grip)),
        Part("spout", stroke(spout, [0.36, 0.24, 0.17, 0.19])),
        Part("body", body),
        Part("sash", sash * (width, 1)),
        Part("handle", rim + (0, height)),
        Part("lid", dome),
        Part("handle", ellipse(knob, (0.11, 0.1))),
    )
    keypoints = {
        "spout tip": spout[-3],
        "spout root": root,
        "knob": knob,
        "lid": point(0, -height - 0.06),
        "handle top": handle[9],
        "handle middle": handle[24],
        "handle bottom": handle[-3],
        "foot front": point(-0.9 * foot, height + 0.03),
        "foot back": point(0.9 * foot, height + 0.03),
    }
    return Shape(parts, keypoints)


def windmill(rng: np.random.Generator) -> Shape:
    """A windmill: tapered tower, cap, door, window, and four sails near the diagonals."""
    top, foot, hub = (
        rng.uniform(0.32, 0.4),
        rng.uniform(0.54, 0.66),
        point(0, rng.uniform(-0.4, -0.3)),
    )
    reach, sail = rng.uniform(0.72, 0.86), rng.uniform(0.4, 0.48)
    phase, side = rng.uniform(-25, 25), rng.choice([-1, 1])
    tower = polygon((-top, hub[1]), (top, hub[1]), (foot, 1), (-foot, 1))
    door = np.concatenate([ellipse((0, 0.76), 0.12, 180, 360), polygon((0.12, 1), (-0.12, 1))])
    spar = stroke(polygon((0, 0), (reach, 0)), 0.09) + hub
    cloth = polygon((0.22, -0.03), (reach, -0.03), (reach, sail), (0.28, sail)) * (1, side) + hub
    corners = ("upper right", "lower right", "lower left", "upper left")
    turns = {name: phase + 90 * i - 45 for i, name in enumerate(corners)}
    parts = (
        Part("tower", tower),
        Part("door", door),
        Part("dark", ellipse((0, 0.34), 0.08)),
        Part("cap", ellipse(hub + (0, 0.06), (1.25 * top, 0.36), 180, 360)),
        *(Part("sail", rotate(cloth, turn, hub)) for turn in turns.values()),
        *(Part("spar", rotate(spar, turn, hub)) for turn in turns.values()),
        Part("light", ellipse(hub, 0.08)),
    )
    tip = hub + (reach - 0.05, 0.03 * side)
    keypoints = {
        "hub": hub,
        **{f"{name} sail tip": rotate(tip, turn, hub) for name, turn in turns.items()},
        "door": point(0, 0.84),
        "left foot": point(0.05 - foot, 0.95),
        "right foot": point(foot - 0.05, 0.95),
    }
    return Shape(parts, keypoints, symmetric=True)


def flower(rng: np.random.Generator) -> Shape:
    """A flower: petals about a disc, a curved stem and two leaves."""
    petals, length, bow = int(rng.integers(5, 9)), rng.uniform(0.58, 0.7), rng.uniform(-0.2, 0.2)
    center, foot = point(0, length - 0.98), point(0, 1)
    breadth = min(0.28, 0.7 * length * np.sin(np.pi / petals))
    petal = ellipse(center + (0.55 * length, 0), (0.45 * length, breadth))
    turns = np.arange(petals) * 360 / petals - 90
    bend = [center + (foot - center) * (1, share) + (bow, 0) for share in (0.3, 0.65)]
    stem = smooth([center, *bend, foot])
    reach, rise = rng.uniform(0.5, 0.66, 2), rng.uniform(0, 0.35, 2)
    left, right = stem[20] - (reach[0], rise[0]), stem[26] + (reach[1], -rise[1])

    def leaf(start: Points, tip: Points) -> Points:
        vein = smooth([start, 0.5 * (start + tip) + (0, 0.08), tip])
        return stroke(vein, [0.14, 0.36, 0.4, 0.27, 0])

    def petal_tip(turn: float) -> Points:
        return rotate(center + (0.92 * length, 0), turn, center)

    parts = (
        Part("stem", stroke(stem, rng.uniform(0.18, 0.22))),
        Part("leaf", leaf(stem[20], left)),
        Part("leaf", leaf(stem[26], right)),
        *(Part("petal", rotate(petal, turn, center)) for turn in turns),
        Part("disc", ellipse(center, rng.uniform(0.14, 0.2))),
    )
    quarter = round(petals / 4)
    keypoints = {
        "disc": center,
        "top petal": petal_tip(turns[0]),
        "right petal": petal_tip(turns[quarter]),
        "left petal": petal_tip(turns[-quarter]),
        "stem middle": stem[18],
        "stem foot": stem[-2],
        "left leaf tip": 0.92 * left + 0.08 * stem[20],
        "right leaf tip": 0.92 * right + 0.08 * stem[26],
    }
    return Shape(parts, keypoints, symmetric=True)


SHAPES: dict[str, Callable[[np.random.Generator], Shape]] = {
    draw.__name__: draw for draw in (fish, airplane, umbrella, teapot, windmill, flower)
}
CLASSES: tuple[str, ...] = tuple(SHAPES)
KEYPOINTS: dict[str, tuple[str, ...]] = {
    name: tuple(draw(np.random.default_rng(0)).keypoints) for name, draw in SHAPES.items()
}
