'use strict';

/* Names and texts come from the trace: they go into the document as text only. */

/* ---- figures ---- */

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];

function scaleOf(bytes) {
  let unit = 0, divisor = 1;
  while (bytes / divisor >= 1023.5 && unit + 1 < UNITS.length) {
    divisor *= 1024;
    unit++;
  }
  const value = bytes / divisor;
  return {divisor, unit: UNITS[unit], decimals: unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2};
}

function bytesText(bytes, error) {
  const scale = scaleOf(bytes);
  const text = (bytes / scale.divisor).toFixed(scale.decimals) + ' ' + scale.unit;
  return error === undefined ? text : text + ' ± ' + (error / scale.divisor).toFixed(scale.decimals);
}

function countText(count, error) {
  const text = count.toLocaleString('en-US');
  return error === undefined ? text : text + ' ± ' + error.toLocaleString('en-US');
}

function figureText(unit, value, error) {
  if (value === null) {
    return '–';
  }
  return unit === 'count' ? countText(value, error) : bytesText(value, error);
}

/* Of a sum over sites: of samples it is an estimate. */
function sumText(column, value) {
  return (column.errors === undefined ? '' : 'about ') + figureText(column.unit, value);
}

function shareText(part, whole) {
  return whole === 0 ? '-' : (100 * part / whole).toFixed(1) + ' %';
}

/* "64", "1.5M", "2 GiB"; what is not a number is 0. */
function parseFigure(text) {
  const match = /^\s*([0-9]+(?:\.[0-9]*)?)\s*([kmgt]?)/i.exec(text);
  return match ? Number(match[1]) * Math.pow(1024, ' kmgt'.indexOf(match[2].toLowerCase() || ' ')) : 0;
}

/* ---- document ---- */

function byId(id) {
  return document.getElementById(id);
}

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) {
    element.className = className;
  }
  if (text !== undefined) {
    element.textContent = text;
  }
  return element;
}

/* ---- data ---- */

function lastPart(path) {
  return path.slice(path.lastIndexOf('/') + 1);
}

/* Stack i goes on from a place of the tree by so many new places, which have the next numbers: see page_stacks.h. */
function unpackPlaces(data) {
  const {from, length, frames} = data.stacks;
  const count = frames.length + 1;
  const places = {parent: new Int32Array(count), frame: new Int32Array(count), ofSite: new Int32Array(from.length)};
  let next = 1;
  places.parent[0] = places.frame[0] = -1;
  for (let site = 0; site < from.length; site++) {
    let place = from[site];
    for (let i = 0; i < length[site]; i++, next++) {
      places.parent[next] = place;
      places.frame[next] = frames[next - 1];
      place = next;
    }
    places.ofSite[site] = place;
  }
  return places;
}

/* Places right above each: those of place p are list[start[p]] to list[start[p + 1] - 1]. */
function listChildren(parent) {
  const start = new Int32Array(parent.length + 1);
  const list = new Int32Array(parent.length);
  for (let place = 1; place < parent.length; place++) {
    start[parent[place] + 1]++;
  }
  for (let place = 0; place < parent.length; place++) {
    start[place + 1] += start[place];
  }
  const next = start.slice();
  for (let place = 1; place < parent.length; place++) {
    list[next[parent[place]]++] = place;
  }
  return {start, list};
}

class Data {
  constructor(raw) {
    this.program = raw.program;
    this.functions = raw.functions;
    this.short = raw.short;
    this.files = raw.files;
    this.modules = raw.modules;
    this.frames = raw.frames;
    this.sites = raw.sites;
    this.columns = raw.columns;
    this.places = unpackPlaces(raw);
    this.children = listChildren(this.places.parent);
    this.siteCount = raw.sites.up.length;
    this.lower = null;
    this.sums = new Map();
  }

  column(name) {
    return this.columns.find((column) => column.name === name);
  }

  /* The sum of a column over all sites above each place. A place has a greater number than the one below it. */
  sumsOf(column) {
    if (!this.sums.has(column.name)) {
      const {parent, ofSite} = this.places;
      const sums = new Float64Array(parent.length);
      ofSite.forEach((place, site) => { sums[place] += column.values[site]; });
      for (let place = parent.length - 1; place > 0; place--) {
        sums[parent[place]] += sums[place];
      }
      this.sums.set(column.name, sums);
    }
    return this.sums.get(column.name);
  }

  functionText(index, whole) {
    return whole ? this.functions[index] : this.short[index] || this.functions[index];
  }

  functionOf(frame, whole) {
    return this.functionText(this.frames.function[frame], whole);
  }

  fileOf(frame) {
    const file = this.files[this.frames.file[frame]];
    return file === '' || this.frames.line[frame] === 0 ? file : file + ':' + this.frames.line[frame];
  }

  moduleOf(frame) {
    return this.modules[this.frames.module[frame]];
  }

  /* 1 for each frame that has `word`, in lower case, in its function, file or module. */
  framesWith(word) {
    this.lower = this.lower || [this.functions, this.files, this.modules].map(
      (texts) => texts.map((text) => text.toLowerCase()));
    const [functions, files, modules] = this.lower.map((texts) => texts.map((text) => text.includes(word)));
    const frames = this.frames;
    return Uint8Array.from(frames.function, (name, frame) =>
      functions[name] || files[frames.file[frame]] || modules[frames.module[frame]] ? 1 : 0);
  }

  /* 1 for each place whose frame, or one below it, is marked. */
  placesFrom(marked) {
    const {parent, frame} = this.places;
    const covered = new Uint8Array(parent.length);
    for (let place = 1; place < parent.length; place++) {
      covered[place] = covered[parent[place]] | marked[frame[place]];
    }
    return covered;
  }

  /* Frames of a site, innermost first. */
  stackOf(site) {
    const frames = [];
    for (let place = this.places.ofSite[site]; place > 0; place = this.places.parent[place]) {
      frames.push(this.places.frame[place]);
    }
    return frames;
  }

  /* The frame that stands for a site. */
  frameOf(site) {
    let place = this.places.ofSite[site];
    for (let up = this.sites.up[site]; up > 0; up--) {
      place = this.places.parent[place];
    }
    return this.places.frame[place];
  }
}

function wordsOf(text) {
  return text.toLowerCase().split(/\s+/).filter((word) => word !== '');
}
