/* ---- flame graph ---- */

const BOX_TEXT_PIXELS = 24;
const CRUMBS_MAX = 7;

class Flame {
  constructor(data, change) {
    this.data = data;
    this.change = change;
    this.chart = byId('flame-chart');
    this.info = byId('flame-info');
    this.trees = new Map();
    this.items = [];
    this.shown = '';
    this.focused = null;
    this.fillMetrics();
    this.listen();
  }

  fillMetrics() {
    for (const column of this.data.columns.filter((one) => one.flame !== null)) {
      const option = make('option', '', column.flame);
      option.value = column.name;
      byId('flame-metric').append(option);
    }
  }

  tree(metric, way) {
    const name = metric + ' ' + way;
    if (!this.trees.has(name)) {
      this.trees.set(name, new FlameTree(this.data, this.data.column(metric), way === 'callers'));
    }
    return this.trees.get(name);
  }

  listen() {
    const {chart, change} = this;
    byId('flame-metric').addEventListener('change', (event) => {
      const now = this.tree(this.state.flame, this.state.way);
      const then = this.tree(event.target.value, this.state.way);
      change({flame: event.target.value, zoom: then.translate(now, this.state.zoom)});
    });
    byId('flame-callees').addEventListener('click', () => change({way: 'calls', zoom: ''}));
    byId('flame-callers').addEventListener('click', () => change({way: 'callers', zoom: ''}));
    byId('flame-reset').addEventListener('click', () => change({zoom: '', find: ''}));
    listenTyping(byId('flame-find'), (text) => change({find: text}));
    chart.addEventListener('click', (event) => this.zoomInto(this.itemOf(event.target)));
    chart.addEventListener('mouseover', (event) => this.tell(this.itemOf(event.target)));
    chart.addEventListener('mouseleave', () => this.tell(null));
    chart.addEventListener('focusin', (event) => this.tell(this.itemOf(event.target)));
    chart.addEventListener('keydown', (event) => this.press(event));
    window.addEventListener('resize', () => this.redraw());
  }

  itemOf(element) {
    const box = element.closest('.box');
    return box ? this.items[Number(box.dataset.at)] : null;
  }

  zoomInto(item) {
    if (item && item.box) {
      this.change({zoom: this.current.pathOf(item.box)});
    }
  }

  zoomOut() {
    if (this.top.parent) {
      this.change({zoom: this.current.pathOf(this.top.parent)});
    }
  }

  /* ---- keys ---- */

  press(event) {
    const item = this.itemOf(event.target);
    const key = event.key;
    if (key === 'Escape' || key === 'Backspace') {
      this.zoomOut();
    } else if (item && (key === 'Enter' || key === ' ')) {
      this.zoomInto(item);
    } else if (item && key.startsWith('Arrow')) {
      this.focus(this.neighbour(item, key));
    } else {
      return;
    }
    event.preventDefault();
  }

  neighbour(item, key) {
    const middle = item.left + Math.min(item.width / 2, 1e-9);
    const row = {ArrowUp: item.depth - 1, ArrowDown: item.depth + 1}[key];
    if (row !== undefined) {
      return this.items.find((other) => other.depth === row && other.left <= middle &&
        middle < other.left + other.width);
    }
    const beside = this.items.filter((other) => other.depth === item.depth).sort((a, b) => a.left - b.left);
    return beside[beside.indexOf(item) + (key === 'ArrowLeft' ? -1 : 1)];
  }

  focus(item) {
    if (item) {
      this.items.forEach((other) => { other.element.tabIndex = other === item ? 0 : -1; });
      item.element.focus();
    }
  }

  /* ---- texts ---- */

  nameOf(box) {
    return box.frame < 0 ? this.data.program : this.data.functionOf(box.frame, this.state.names === 'whole');
  }

  placeOf(box) {
    if (box.frame < 0) {
      return '';
    }
    const files = new Set(box.places.map((place) => this.data.fileOf(this.data.places.frame[place])));
    const file = this.data.fileOf(box.frame) + (files.size > 1 ? ' and ' + (files.size - 1) + ' other lines' : '');
    return [file, lastPart(this.data.moduleOf(box.frame))].filter((text) => text !== '').join(', ');
  }

  valueText(value) {
    const whole = this.current.root.value;
    const column = this.column;
    let text = sumText(column, value) + ' (' + shareText(value, whole);
    if (this.top !== this.current.root && this.top.value > 0) {
      text += ', ' + shareText(value, this.top.value) + ' of the view';
    }
    return text + ')';
  }

  describe(item) {
    if (item.rest) {
      return countText(item.rest) + ' more that are too narrow to be drawn: ' + this.valueText(item.value);
    }
    const place = this.placeOf(item.box);
    const name = item.box.frame < 0 ? this.data.program : this.data.functionOf(item.box.frame, true);
    return name + (place === '' ? '' : ' — ' + place) + ': ' + this.valueText(item.box.value);
  }

  tell(item) {
    if (item) {
      item.element.title = this.describe(item);
    }
    this.info.textContent = item ? this.describe(item) : this.summary;
  }

  /* ---- drawing ---- */

  redraw() {
    this.draw();
    this.showFound();
  }

  update(state) {
    const shown = [state.flame, state.way, state.zoom, state.find, state.names].join('\n');
    if (shown === this.shown) {
      return;
    }
    this.shown = shown;
    this.state = state;
    this.column = this.data.column(state.flame);
    this.current = this.tree(state.flame, state.way);
    this.top = this.current.boxAt(state.zoom);
    this.showControls();
    this.showCrumbs();
    this.redraw();
  }

  showControls() {
    byId('flame-metric').value = this.state.flame;
    byId('flame-callees').setAttribute('aria-pressed', this.state.way !== 'callers');
    byId('flame-callers').setAttribute('aria-pressed', this.state.way === 'callers');
    setText(byId('flame-find'), this.state.find);
  }

  showCrumbs() {
    const crumbs = byId('flame-crumbs');
    const boxes = ancestorsOf(this.top);
    const hidden = Math.max(0, boxes.length - CRUMBS_MAX);
    crumbs.replaceChildren();
    boxes.forEach((box, i) => {
      if (i > 0 && i <= hidden) {
        crumbs.append(i === 1 ? ' › …' : '');
        return;
      }
      const crumb = make('button', 'crumb', this.nameOf(box));
      crumb.type = 'button';
      crumb.disabled = box === this.top;
      crumb.addEventListener('click', () => this.change({zoom: this.current.pathOf(box)}));
      crumbs.append(i > 0 ? ' › ' : '', crumb);
    });
  }

  draw() {
    const pixels = Math.max(300, this.chart.clientWidth);
    const hadFocus = this.chart.contains(document.activeElement);
    this.items = layOutFew(this.current, this.top, pixels);
    const rows = this.items.reduce((most, item) => Math.max(most, item.depth), 0) + 1;
    const plane = make('div', 'plane');
    plane.style.height = 'calc(' + rows + ' * var(--box))';
    this.items.forEach((item, at) => plane.append(this.drawItem(item, at, pixels)));
    this.chart.replaceChildren(plane);
    this.items[0].element.tabIndex = 0;
    if (hadFocus) {
      this.focus(this.items[0]);
    }
  }

  drawItem(item, at, pixels) {
    const element = make('div', item.rest ? 'box rest' : item.box.frame < 0 ? 'box plain' : 'box');
    element.dataset.at = at;
    element.tabIndex = -1;
    element.setAttribute('role', 'treeitem');
    element.setAttribute('aria-level', item.depth + 1);
    element.style.left = 100 * item.left + '%';
    element.style.width = 100 * item.width + '%';
    element.style.top = 'calc(' + item.depth + ' * var(--box))';
    if (item.width * pixels >= BOX_TEXT_PIXELS) {
      element.textContent = item.rest ? '…' : this.nameOf(item.box) + this.rootFigure(item.box);
    }
    if (!item.rest && item.box.frame >= 0) {
      element.style.setProperty('--hue', this.hueOf(item.box.frame));
    }
    item.element = element;
    return element;
  }

  /* Modules get hues far apart, functions of one module different ones near its own. */
  hueOf(frame) {
    const {module, function: name} = this.data.frames;
    return Math.round(module[frame] * 137.508 + name[frame] * 7 % 25) % 360;
  }

  rootFigure(box) {
    return box === this.top ? ': ' + this.column.flame + ', ' + sumText(this.column, box.value) : '';
  }

  /* ---- search ---- */

  showFound() {
    const word = this.state.find.toLowerCase().trim();
    const marked = word === '' ? null : this.data.framesWith(word);
    this.chart.classList.toggle('searching', marked !== null);
    if (marked) {
      this.items.forEach((item) => {
        item.element.classList.toggle('hit', !item.rest && item.box.frame >= 0 && marked[item.box.frame] === 1);
      });
    }
    this.summary = this.summarize(marked);
    this.tell(null);
  }

  summarize(marked) {
    const {root} = this.current;
    if (marked) {
      return this.column.flame + ' in stacks with a match: ' + this.valueText(this.foundIn(marked));
    }
    const beside = this.column.unsampled > 0
      ? ', and ' + figureText(this.column.unit, this.column.unsampled) + ' that no sample tells of' : '';
    const none = root.value === 0 ? ': there is nothing to draw' : '';
    return this.column.flame + ' in all: ' + sumText(this.column, root.value) + beside + none;
  }

  /* The sum of sites whose stacks have a marked frame, each counted once, as far as they are in view. */
  foundIn(marked) {
    const covered = this.data.placesFrom(marked);
    const sites = this.sitesInView();
    let sum = 0;
    this.data.places.ofSite.forEach((place, site) => {
      sum += covered[place] && (sites === null || sites[site]) ? this.column.values[site] : 0;
    });
    return sum;
  }

  /* 1 for each site that is; null: all are. */
  sitesInView() {
    const {parent, ofSite} = this.data.places;
    if (this.top === this.current.root) {
      return null;
    }
    if (this.current.callers) {
      return marks(ofSite.length, this.top.sites);
    }
    const inside = marks(parent.length, this.top.places);
    for (let place = 1; place < parent.length; place++) {
      inside[place] |= inside[parent[place]];
    }
    return Uint8Array.from(ofSite, (place) => inside[place]);
  }
}

function marks(length, indexes) {
  const marked = new Uint8Array(length);
  for (const index of indexes) {
    marked[index] = 1;
  }
  return marked;
}
