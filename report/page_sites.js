/* ---- table of sites ---- */

/* Only rows in sight are in the document: all have one height, but the one that is open has its stack below it. */

const ROWS_BEYOND = 8;
const ROWS_PRINTED = 50;
const FRAMES_SHOWN = 400;

class Sites {
  constructor(data, change) {
    this.data = data;
    this.change = change;
    this.window = byId('sites-window');
    this.table = byId('sites-table');
    this.body = this.table.tBodies[0];
    this.order = [];
    this.ordered = '';
    this.shown = '';
    this.openHeight = 0;
    this.printing = false;
    this.makeHead();
    this.listen();
  }

  makeHead() {
    const row = this.table.tHead.rows[0];
    row.append(make('th', '', 'Site'));
    for (const column of this.data.columns) {
      const head = make('th', column.errors === undefined ? 'n' : 'n wide');
      const button = make('button', '', column.head);
      button.type = 'button';
      button.addEventListener('click', () => this.sortBy(column.name));
      head.title = column.hint;
      head.append(button);
      row.append(head);
    }
    this.table.style.setProperty('--columns', this.data.columns.length);
    this.table.style.setProperty('--wide', this.data.columns.filter((column) => column.errors).length);
    byId('names-label').hidden = !this.data.short.some((text) => text !== null);
  }

  sortBy(name) {
    this.change({sort: this.state.sort === '-' + name ? name : '-' + name});
    this.window.scrollTop = 0;
  }

  listen() {
    const {change} = this;
    listenTyping(byId('sites-find'), (text) => change({q: text}));
    listenTyping(byId('sites-least'), (text) => change({min: text}));
    byId('names-whole').addEventListener('change', (event) => change({names: event.target.checked ? 'whole' : ''}));
    this.window.addEventListener('scroll', () => this.draw());
    window.addEventListener('resize', () => this.redraw());
    this.body.addEventListener('click', (event) => this.click(event.target));
    window.addEventListener('beforeprint', () => this.print(true));
    window.addEventListener('afterprint', () => this.print(false));
  }

  click(target) {
    const row = target.closest('tr');
    if (target.closest('.folded')) {
      const name = target.closest('.folded');
      const title = name.title;
      name.title = name.textContent;
      name.textContent = title;
    } else if (row && row.dataset.site !== undefined && !target.closest('.stack')) {
      const id = this.idOf(Number(row.dataset.site));
      this.change({site: id === this.state.site ? '' : id});
    }
  }

  print(on) {
    this.printing = on;
    this.redraw();
  }

  /* ---- which rows ---- */

  idOf(site) {
    const id = this.data.sites.id[site];
    return id === undefined ? '' : String(id);
  }

  matching() {
    const words = wordsOf(this.state.q);
    const ids = words.filter((word) => /^#[0-9]+$/.test(word)).map((word) => word.slice(1));
    const {data} = this;
    const covers = words.filter((word) => !/^#[0-9]+$/.test(word)).map(
      (word) => data.placesFrom(data.framesWith(word)));
    const least = parseFigure(this.state.min);
    const values = this.column.values;
    const sites = [];
    for (let site = 0; site < data.siteCount; site++) {
      if ((values[site] || 0) >= least && ids.every((id) => id === this.idOf(site)) &&
          covers.every((covered) => covered[data.places.ofSite[site]])) {
        sites.push(site);
      }
    }
    return sites;
  }

  /* A lifetime that is not known is longer than all that are. */
  sort(sites) {
    const sign = this.state.sort.startsWith('-') ? -1 : 1;
    const keys = Float64Array.from(this.column.values, (value) => sign * (value === null ? Infinity : value));
    return sites.sort((a, b) => (keys[a] === keys[b] ? a - b : keys[a] < keys[b] ? -1 : 1));
  }

  update(state) {
    this.state = state;
    this.column = this.data.column(state.sort.replace('-', ''));
    const ordered = [state.sort, state.q, state.min].join('\n');
    if (ordered !== this.ordered) {
      this.ordered = ordered;
      this.order = this.sort(this.matching());
      this.summarize();
    }
    this.showControls();
    this.scrollToSorted();
    const shown = [ordered, state.site, state.names].join('\n');
    if (shown !== this.shown) {
      const moved = this.openSite !== state.site;
      this.shown = shown;
      this.openSite = state.site;
      this.openRow = state.site === '' ? -1 : this.order.findIndex((site) => this.idOf(site) === state.site);
      this.redraw();
      this.scrollToOpen(moved);
    }
  }

  showControls() {
    setText(byId('sites-find'), this.state.q);
    setText(byId('sites-least'), this.state.min);
    byId('names-whole').checked = this.state.names === 'whole';
    this.data.columns.forEach((column, i) => {
      const way = column !== this.column ? 'none' : this.state.sort.startsWith('-') ? 'descending' : 'ascending';
      this.table.tHead.rows[0].cells[i + 1].setAttribute('aria-sort', way);
    });
  }

  /* On a narrow screen it may lie outside. */
  scrollToSorted() {
    const cells = this.table.tHead.rows[0].cells;
    const cell = cells[this.data.columns.indexOf(this.column) + 1];
    const left = cell.offsetLeft - this.window.scrollLeft;
    if (left < cells[0].offsetWidth || left + cell.offsetWidth > this.window.clientWidth) {
      this.window.scrollLeft = cell.offsetLeft - cells[0].offsetWidth;
    }
  }

  summarize() {
    const {siteCount, columns} = this.data;
    const sums = columns.filter((column) => column.flame !== null && column.unit === 'bytes').map((column) => {
      const sum = this.order.reduce((total, site) => total + column.values[site], 0);
      return sumText(column, sum) + ' ' + column.flame.replace(/ bytes/, '');
    });
    byId('sites-sum').textContent = countText(this.order.length) + ' of ' + countText(siteCount) + ' sites: ' +
      sums.join(', ');
  }

  /* ---- drawing ---- */

  rowHeight() {
    return parseFloat(getComputedStyle(this.table).getPropertyValue('--row'));
  }

  topOf(row) {
    return row * this.rowHeight() + (this.openRow >= 0 && row > this.openRow ? this.openHeight : 0);
  }

  scrollToOpen(moved) {
    if (this.openRow >= 0 && moved) {
      const top = this.topOf(this.openRow);
      const {scrollTop, clientHeight} = this.window;
      if (top < scrollTop || top > scrollTop + clientHeight - 3 * this.rowHeight()) {
        this.window.scrollTop = Math.max(0, top - this.rowHeight());
      }
    }
  }

  range() {
    if (this.printing) {
      return [0, Math.min(ROWS_PRINTED, this.order.length)];
    }
    const height = this.rowHeight();
    const first = Math.floor((this.window.scrollTop - this.openHeight) / height) - ROWS_BEYOND;
    const last = Math.ceil((this.window.scrollTop + this.window.clientHeight) / height) + ROWS_BEYOND;
    return [Math.max(0, first), Math.min(this.order.length, last)];
  }

  redraw() {
    this.drawn = '';
    this.openHeight = 0;
    this.draw();
  }

  draw() {
    const [first, last] = this.range();
    if (this.drawn === first + ' ' + last) {
      return;
    }
    this.drawn = first + ' ' + last;
    const rows = [];
    for (let row = first; row < last; row++) {
      rows.push(this.makeRow(this.order[row]));
      if (row === this.openRow) {
        rows.push(this.makeStack(this.order[row]));
      }
    }
    const above = this.spacer(), below = this.spacer();
    const focused = this.body.contains(document.activeElement) && document.activeElement.closest('tr').dataset.site;
    this.body.replaceChildren(above, ...rows, below);
    this.focusOn(focused);
    this.measureOpen();
    above.firstChild.style.height = (this.printing ? 0 : this.topOf(first)) + 'px';
    below.firstChild.style.height = (this.printing ? 0 : this.topOf(this.order.length) - this.topOf(last)) + 'px';
    if (this.printing && last < this.order.length) {
      this.body.append(this.note('and ' + countText(this.order.length - last) + ' more'));
    }
  }

  /* Rows are made anew; the one that had the focus keeps it. */
  focusOn(site) {
    const row = site && this.body.querySelector('tr[data-site="' + site + '"]');
    if (row) {
      row.querySelector('button').focus({preventScroll: true});
    }
  }

  measureOpen() {
    const stack = this.body.querySelector('tr.opened');
    if (stack) {
      this.openHeight = stack.getBoundingClientRect().height;
    }
  }

  spacer() {
    const row = this.note('');
    row.className = 'spacer';
    row.setAttribute('aria-hidden', 'true');
    return row;
  }

  note(text) {
    const row = make('tr');
    const cell = make('td', 'soft', text);
    cell.colSpan = this.data.columns.length + 1;
    row.append(cell);
    return row;
  }

  makeRow(site) {
    const row = make('tr', 'site');
    const id = this.idOf(site);
    row.dataset.site = site;
    row.append(this.makeName(site, id));
    for (const column of this.data.columns) {
      const error = column.errors === undefined ? undefined : column.errors[site];
      row.append(make('td', 'n', figureText(column.unit, column.values[site], error)));
    }
    return row;
  }

  makeName(site, id) {
    const {data} = this;
    const whole = this.state.names === 'whole';
    const frame = data.frameOf(site);
    const cell = make('td');
    const button = make('button', 'name');
    const caller = data.sites.caller[site];
    const place = lastPart(data.fileOf(frame)) || lastPart(data.moduleOf(frame));
    button.type = 'button';
    button.setAttribute('aria-expanded', id !== '' && id === this.state.site);
    button.title = data.functionOf(frame, true);
    button.append(make('span', 'soft', id === '' ? '' : '#' + id), ' ', make('code', '', data.functionOf(frame, whole)),
      ' ', make('span', 'soft', place + (caller === 0 ? '' : ' ← ' + data.functionText(caller, whole))));
    cell.append(button);
    return cell;
  }

  makeStack(site) {
    const row = make('tr', 'opened');
    const cell = make('td', 'stack');
    const list = make('ol');
    const frames = this.data.stackOf(site);
    cell.colSpan = this.data.columns.length + 1;
    frames.slice(0, FRAMES_SHOWN).forEach((frame) => list.append(this.makeFrame(frame)));
    cell.append(list);
    if (frames.length > FRAMES_SHOWN) {
      cell.append(make('p', 'soft', 'and ' + countText(frames.length - FRAMES_SHOWN) + ' outer frames'));
    }
    row.append(cell);
    return row;
  }

  makeFrame(frame) {
    const {data} = this;
    const line = make('li');
    const whole = data.functionOf(frame, true);
    const text = data.functionOf(frame, this.state.names === 'whole');
    const name = make('code', text === whole ? '' : 'folded', text);
    name.title = text === whole ? '' : whole;
    const place = [data.fileOf(frame), lastPart(data.moduleOf(frame))].filter((part) => part !== '').join(' · ');
    line.append(name, data.frames.inlined[frame] ? ' (inlined)' : '', ' ', make('span', 'soft', place));
    return line;
  }
}
