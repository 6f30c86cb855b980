// Draws people: node people.mjs NUMBERS, where NUMBERS is e.g. "0-399,1000-1099".
//
// Reads people.json beside it and writes for each style STYLE.json.gz, which maps
// "person-0042-smiling" to an SVG document, and into drawn.json what was drawn and whose it is.
// The same number is always the same person: it alone chooses everything but the expression.

import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

import { createAvatar } from '@dicebear/core';

const numbers = process.argv[2].split(',').flatMap((range) => {
  const [first, last] = range.split('-').map(Number);
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
});

// DiceBear's generator gives people with similar seeds the same hair, so seeds are hashed.
function seedOf(style, number, attempt) {
  return createHash('sha256').update(`${style} ${number} ${attempt}`).digest('hex');
}

function draw(drawings, identity, expression, seed) {
  const chosen = Object.entries(expression).map(([part, name]) => [part, [name]]);
  return createAvatar(drawings, { seed, ...identity, ...Object.fromEntries(chosen) }).toString();
}

const recipe = JSON.parse(readFileSync('people.json', 'utf8'));
const about = {};
for (const [style, { package: name, identity, expressions }] of Object.entries(recipe)) {
  if (style === 'about') continue;
  const drawings = await import(name);
  const { version } = JSON.parse(readFileSync(`node_modules/${name}/package.json`, 'utf8'));
  const names = Object.keys(expressions);
  const found = {};
  const seen = new Set();
  for (const number of numbers) {
    // Nobody is drawn as someone before: in black and white, chance alone would make some doubles.
    let attempt = 0;
    let seed = seedOf(style, number, attempt);
    let face = draw(drawings, identity, expressions[names[0]], seed);
    while (seen.has(face)) {
      attempt += 1;
      seed = seedOf(style, number, attempt);
      face = draw(drawings, identity, expressions[names[0]], seed);
    }
    seen.add(face);
    const person = `person-${String(number).padStart(4, '0')}`;
    for (const expression of names) {
      found[`${person}-${expression}`] = draw(drawings, identity, expressions[expression], seed);
    }
  }
  const text = JSON.stringify(found);
  writeFileSync(`${style}.json.gz`, gzipSync(text));
  const { creator, homepage, source, license } = drawings.meta;
  about[style] = {
    package: name,
    version,
    licence: license.name,
    licence_url: license.url,
    author: creator,
    author_url: homepage,
    source,
    sha256: createHash('sha256').update(text).digest('hex'),
  };
}
writeFileSync('drawn.json', JSON.stringify(about, null, 1));
