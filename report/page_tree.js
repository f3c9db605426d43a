/* ---- boxes of the flame graph ---- */

/* A box stands for places of the tree of stacks that have the same function in the same way of calls. Boxes are made when
 * they are wide enough to be seen. */

const BOX_PIXELS_LEAST = 2;
const BOXES_MAX = 4000;

class FlameTree {
  constructor(data, column, callers) {
    this.data = data;
    this.callers = callers;
    this.sums = data.sumsOf(column);
    this.values = column.values;
    this.root = {frame: -1, parent: null, value: this.sums[0], places: [0], sites: [], children: null};
    if (callers) {
      this.root.children = this.group(this.root, this.ownPlaces());
    }
  }

  /* Steps are [place, its part of the box, the site that it comes from, if it is one]. */
  ownPlaces() {
    return Array.from(this.data.places.ofSite, (place, site) => [place, this.values[site], site]);
  }

  /* Where a box goes on: inwards to all places above it, or outwards to the one below each. */
  steps(box) {
    const {start, list} = this.data.children;
    const parent = this.data.places.parent;
    const steps = [];
    box.places.forEach((place, i) => {
      if (this.callers) {
        steps.push([parent[place], this.values[box.sites[i]], box.sites[i]]);
        return;
      }
      for (let at = start[place]; at < start[place + 1]; at++) {
        steps.push([list[at], this.sums[list[at]]]);
      }
    });
    return steps;
  }

  /* Boxes by function and module, widest first. */
  group(parent, steps) {
    const {data} = this;
    const boxes = new Map();
    for (const [place, weight, site] of steps) {
      if (place <= 0 || weight <= 0) {
        continue;
      }
      const frame = data.places.frame[place];
      const key = data.frames.function[frame] * data.modules.length + data.frames.module[frame];
      let box = boxes.get(key);
      if (box === undefined) {
        box = {key, frame, parent, value: 0, places: [], sites: [], children: null};
        boxes.set(key, box);
      }
      box.value += weight;
      box.places.push(place);
      if (site !== undefined) {
        box.sites.push(site);
      }
    }
    return [...boxes.values()].sort((a, b) => b.value - a.value || a.key - b.key);
  }

  childrenOf(box) {
    box.children = box.children || this.group(box, this.steps(box));
    return box.children;
  }

  /* "0.2.1": of the root's widest child the third, of that the second. What is not there ends it. */
  boxAt(path) {
    let box = this.root;
    for (const step of path === '' ? [] : path.split('.')) {
      const child = this.childrenOf(box)[Number(step)];
      if (child === undefined) {
        break;
      }
      box = child;
    }
    return box;
  }

  pathOf(box) {
    const steps = [];
    for (; box.parent; box = box.parent) {
      steps.unshift(this.childrenOf(box.parent).indexOf(box));
    }
    return steps.join('.');
  }

  /* The path here of what has another path in another tree. */
  translate(other, path) {
    let box = this.root;
    for (const one of ancestorsOf(other.boxAt(path)).slice(1)) {
      const child = this.childrenOf(box).find((candidate) => candidate.key === one.key);
      if (child === undefined) {
        break;
      }
      box = child;
    }
    return this.pathOf(box);
  }
}

/* From the root to the box itself. */
function ancestorsOf(box) {
  const boxes = [];
  for (; box; box = box.parent) {
    boxes.unshift(box);
  }
  return boxes;
}

/* What to draw: {box, left, width, depth} with left and width as shares, and for boxes too narrow to be drawn one in
 * their place: {rest, left, width, depth}. */
function layOut(tree, top, least) {
  const drawn = [];
  const waiting = [{box: top, left: 0, width: 1, depth: 0}];
  while (waiting.length > 0) {
    const item = waiting.pop();
    drawn.push(item);
    let left = item.left;
    const children = tree.childrenOf(item.box);
    const depth = item.depth + 1;
    for (let i = 0; i < children.length; i++) {
      const width = top.value === 0 ? 0 : children[i].value / top.value;
      if (width < least) {
        addRest(drawn, children.slice(i), top.value, left, depth, least);
        break;
      }
      waiting.push({box: children[i], left, width, depth});
      left += width;
    }
  }
  return drawn;
}

function addRest(drawn, boxes, whole, left, depth, least) {
  const value = boxes.reduce((sum, box) => sum + box.value, 0);
  if (whole > 0 && value / whole >= least) {
    drawn.push({rest: boxes.length, value, left, width: value / whole, depth});
  }
}

function layOutFew(tree, top, pixels) {
  let least = BOX_PIXELS_LEAST / pixels;
  let drawn = layOut(tree, top, least);
  while (drawn.length > BOXES_MAX) {
    least *= 2;
    drawn = layOut(tree, top, least);
  }
  return drawn;
}
