// The status page: asks api/status each second and writes what it says into the page.
// Everything that comes from events or their predictions is put in as text, never as HTML.
'use strict';

const $ = (id) => document.getElementById(id);

// put writes only what changed, so that a screen reader is not told the same thing again
// and a selection survives.
function put(node, text) {
  if (typeof node === 'string') node = $(node);
  text = String(text);
  if (node.textContent !== text) node.textContent = text;
}

function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

const whole = new Intl.NumberFormat('en');
const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });
const count = (n) => (n < 1e8 ? whole.format(Math.round(n)) : compact.format(n));

function duration(s) {
  if (s < 0.01) return `${(s * 1000).toFixed(1)} ms`;
  if (s < 1) return `${Math.round(s * 1000)} ms`;
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 120) return `${Math.round(s)} s`;
  if (s < 7200) return `${Math.round(s / 60)} min`;
  if (s < 172800) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} d`;
}

function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1 << 20) return `${(bytes / 1024).toFixed(1)} KiB`;
  return `${(bytes / (1 << 20)).toFixed(1)} MiB`;
}

function share(n, of) {
  if (!n) return '0';
  const percent = (100 * n) / Math.max(of, n);
  return percent < 0.01 ? '< 0.01%' : `${percent.toFixed(percent < 10 ? 2 : 1)}%`;
}

// rows keeps a table's body in step with a list of rows of cell texts.
function rows(body, list, classes) {
  while (body.rows.length > list.length) body.deleteRow(-1);
  list.forEach((cells, i) => {
    const row = body.rows[i] || body.insertRow();
    cells.forEach((text, j) => {
      const cell = row.cells[j] || row.insertCell();
      if (classes[j]) cell.className = classes[j];
      put(cell, text);
    });
  });
}

function facts(list, pairs) {
  while (list.children.length > pairs.length) list.lastChild.remove();
  pairs.forEach(([term, text, bad], i) => {
    let row = list.children[i];
    if (!row) {
      row = list.appendChild(make('div'));
      row.append(make('dt'), make('dd'));
    }
    put(row.firstChild, term);
    put(row.lastChild, text);
    row.lastChild.className = bad ? 'note' : '';
  });
}

function state(name, reason) {
  const words = { gone: 'no answer' };
  $('state').dataset.state = name;
  put('state-text', words[name] || name);
  $('reason').dataset.state = name;
  $('reason').hidden = !reason;
  put('reason', reason || '');
  document.body.toggleAttribute('data-gone', name === 'gone');
}

function spark(rates) {
  const top = Math.max(1, ...rates);
  const points = rates.map((r, i) => `${120 - rates.length + i},${(39 - (37 * r) / top).toFixed(2)}`);
  const line = points.length > 1 ? `M${points.join('L')}` : '';
  $('spark-line').setAttribute('d', line);
  $('spark-area').setAttribute('d', line && `${line}L119,40L${120 - rates.length},40Z`);
  put('peak', rates.length ? `peak ${count(top === 1 ? Math.max(...rates) : top)} in ${duration(rates.length)}` : ' ');
}

function sample(p) {
  $('sample').hidden = !p;
  $('no-sample').hidden = Boolean(p);
  if (!p) return;
  const score = typeof p.score === 'number' ? p.score : NaN;
  put('score', Number.isNaN(score) ? 'no score' : String(Number(score.toPrecision(5))));
  put('label', p.label || '');
  $('label').hidden = !p.label;
  $('bar').hidden = !(score >= 0 && score <= 1);
  $('bar').setAttribute('aria-valuenow', score);
  $('bar-fill').style.width = `${100 * score}%`;
  put('sample-entity', p.entity || '');
  $('sample-entity').disabled = !p.entity;
  put('sample-time', when(p.event_time));
  put('sample-id', p.id || '');
}

function when(text) {
  const at = new Date(text);
  return Number.isNaN(at.getTime()) ? '' : at.toISOString().replace('T', ' ').replace('Z', ' UTC');
}

function show(s) {
  document.title = s.state === 'ready' ? `${s.name} · scry` : `${s.state}: ${s.name} · scry`;
  put('name', s.name);
  put('model', `${s.model.name}/${s.model.version}`);
  state(s.state, s.reason);
  put('rate', count(s.events_per_second));
  spark(s.rates);
  put('p50', s.latency ? duration(s.latency.p50) : '–');
  put('p99', s.latency ? duration(s.latency.p99) : '–');
  put('lag', count(s.lag.reduce((sum, l) => sum + l.records, 0)));
  put('flight', size(s.in_flight.bytes));
  put('predicted', count(s.totals.predicted));
  put('dead', count(s.totals.dead_letters));

  put('partitions', s.lag.length || '');
  rows($('lags'), s.lag.map((l) => [`${l.topic} ${l.partition}`, count(l.records), l.records ? duration(l.age_seconds) : '–']), ['', 'n', 'n']);
  $('no-lag').hidden = s.lag.length > 0;
  $('lags').parentNode.hidden = s.lag.length === 0;

  put('feature-count', s.features.length);
  rows($('features'), s.features.map((f) => [f.required ? `${f.name} (required)` : f.name,
    share(f.missing, s.consumed), share(f.unknown_category, s.consumed)]), ['', 'n', 'n']);

  const reasons = Object.entries(s.rejected).sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]));
  facts($('rejects'), reasons.map(([reason, n]) => [reason.replaceAll('_', ' '), count(n), n > 0]));
  const c = s.cache;
  facts($('cache'), [
    ...(c ? [['keys written', count(c.written)], ['stale, dropped', count(c.stale)],
      ['expired, dropped', count(c.expired)], ['skipped', count(c.skipped), c.skipped > 0]] : [['cache', 'none configured']]),
    ...Object.entries(s.retries).map(([name, n]) => [`${name} retries`, count(n), n > 0]),
    ['tombstones passed on', count(s.totals.tombstones)],
  ]);
  sample(s.sample);
  put('uptime', `up ${duration(s.uptime_seconds)}`);
  put('digest', s.model.digest ? `model sha256 ${s.model.digest.slice(0, 12)}` : '');
}

let answered = null;

async function poll() {
  try {
    const response = await fetch('api/status', { signal: AbortSignal.timeout(4000) });
    if (!response.ok) throw new Error(`status ${response.status}`);
    show(await response.json());
    answered = new Date();
  } catch {
    const since = answered ? ` since ${answered.toLocaleTimeString()}` : '';
    state('gone', `No answer from scry${since}. This page goes on asking.`);
  }
}

async function loop() {
  for (;;) {
    if (!document.hidden) await poll();
    await new Promise((resume) => {
      const timer = setTimeout(resume, 1000);
      if (document.hidden) document.addEventListener('visibilitychange', () => { clearTimeout(timer); resume(); }, { once: true });
    });
  }
}

// found shows one answer of api/lookup.
function found(answer) {
  const name = answer.error ? 'failed' : answer.state;
  const line = make('p');
  const chip = make('span', 'chip', name);
  chip.dataset.state = name;
  const why = { missing: 'the cache holds no prediction for it', deleted: 'its newest event was a tombstone' };
  const text = answer.error || answer.why || why[name] || '';
  line.append(chip, ' ', make('span', 'muted', text));
  const parts = [line];
  if (answer.value !== undefined) parts.push(make('pre', '', JSON.stringify(answer.value, null, 2)));
  $('found').replaceChildren(...parts);
}

let lookups = 0;

async function lookup(entity) {
  const mine = ++lookups;
  let answer;
  try {
    const response = await fetch(`api/lookup?entity=${encodeURIComponent(entity)}`, { signal: AbortSignal.timeout(8000) });
    answer = await response.json();
  } catch {
    answer = { error: 'No answer from scry.' };
  }
  if (mine === lookups) found(answer);
}

$('lookup').addEventListener('submit', (event) => {
  event.preventDefault();
  lookup($('entity').value);
});
$('sample-entity').addEventListener('click', () => {
  $('entity').value = $('sample-entity').textContent;
  lookup($('entity').value);
});
loop();
