/* ---- the page ---- */

/* What is shown stands in the address behind the '#', as in "#flame=pinned&zoom=0.2&sort=-pinned&q=json": a copied
 * address shows the same, and the browser's way back zooms out. What has its initial value is left out. */
const INITIAL = {flame: 'live', way: 'calls', zoom: '', find: '', sort: '-live', q: '', min: '', site: '', names: '',
  theme: '', at: ''};
const PLACES = ['flame', 'sites'];
const TYPING_MS = 150;

/* Of a program that has freed most of what it had, the peak tells more than what is left. */
function setInitial(data) {
  const [live, peak] = ['live', 'peak'].map((name) => data.sumsOf(data.column(name))[0]);
  if (live < peak / 2) {
    INITIAL.flame = 'peak';
    INITIAL.sort = '-peak';
  }
}

function readAddress(data) {
  const given = new URLSearchParams(location.hash.slice(1));
  const state = {};
  for (const name of Object.keys(INITIAL)) {
    state[name] = given.has(name) ? given.get(name) : INITIAL[name];
  }
  return data ? corrected(state, data) : state;
}

/* Addresses are typed by people, too. */
function corrected(state, data) {
  const column = data.column(state.flame);
  state.flame = column && column.flame !== null ? state.flame : INITIAL.flame;
  state.sort = data.column(state.sort.replace(/^-/, '')) ? state.sort : INITIAL.sort;
  return state;
}

function addressOf(state) {
  const given = new URLSearchParams();
  for (const name of Object.keys(INITIAL)) {
    if (state[name] !== INITIAL[name]) {
      given.set(name, state[name]);
    }
  }
  const text = given.toString();
  return text === '' ? '#top=' : '#' + text;
}

/* Leaves the field alone that somebody is typing in. */
function setText(input, text) {
  if (document.activeElement !== input && input.value !== text) {
    input.value = text;
  }
}

function listenTyping(input, change) {
  let timer = 0;
  input.addEventListener('input', () => {
    clearTimeout(timer);
    timer = setTimeout(() => change(input.value), TYPING_MS);
  });
}

class Page {
  constructor() {
    const data = byId('data');
    this.data = data ? new Data(JSON.parse(data.textContent)) : null;
    if (this.data) {
      setInitial(this.data);
    }
    this.state = readAddress(this.data);
    this.parts = [];
    if (this.data) {
      this.parts = [new Flame(this.data, (changes) => this.change({...changes, at: 'flame'})),
        new Sites(this.data, (changes) => this.change({...changes, at: 'sites'}))];
    }
    this.listen();
    this.show();
    this.lead();
  }

  listen() {
    window.addEventListener('hashchange', () => this.readState());
    window.addEventListener('beforeprint', () => this.unfold(true));
    window.addEventListener('afterprint', () => this.unfold(false));
    byId('theme').hidden = false;
    byId('theme').addEventListener('click', () => this.change({theme: this.isDark() ? 'light' : 'dark'}));
  }

  /* A link to a place of the page says nothing of what is shown. */
  readState() {
    if (location.hash.includes('=') && location.hash !== this.changed) {
      this.state = readAddress(this.data);
      this.show();
      this.lead();
    }
  }

  /* To the part of the page that was last worked with. */
  lead() {
    if (this.data && PLACES.includes(this.state.at)) {
      byId(this.state.at).scrollIntoView();
    }
  }

  change(changes) {
    this.state = {...this.state, ...changes};
    this.changed = addressOf(this.state);
    if ('zoom' in changes) {
      location.hash = this.changed;
    } else {
      location.replace(this.changed);
    }
    this.show();
  }

  show() {
    document.documentElement.dataset.theme = this.state.theme;
    byId('theme').textContent = this.isDark() ? 'Light' : 'Dark';
    for (const part of this.parts) {
      part.update(this.state);
    }
  }

  isDark() {
    return this.state.theme === 'dark' ||
      (this.state.theme !== 'light' && window.matchMedia('(prefers-color-scheme: dark)').matches);
  }

  unfold(on) {
    document.querySelectorAll('details').forEach((details) => {
      if (on) {
        details.dataset.was = details.open;
        details.open = true;
      } else {
        details.open = details.dataset.was === 'true';
      }
    });
  }
}

new Page();
