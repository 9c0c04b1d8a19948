#!/usr/bin/env node
// A `solc` program over npm's compiler: the two commands that py-solc-x uses, answered the way it expects.
// npm's own solcjs cannot serve: it prints a line before the JSON and fails on large inputs.
'use strict';
const fs = require('fs');
const path = require('path');

const packages = process.env.PHOENIX_NODE_MODULES || path.join(__dirname, 'node_modules');
const compiler = require(path.join(packages, 'solc'));

function say(text) {
  const bytes = Buffer.from(text, 'utf8');
  for (let written = 0; written < bytes.length; ) {
    try {
      written += fs.writeSync(1, bytes, written);
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error; // the reader of the pipe is slower than we are
    }
  }
}

if (process.argv.includes('--version')) {
  say(`solc, the solidity compiler commandline interface\nVersion: ${compiler.version()}\n`);
} else if (process.argv.includes('--standard-json')) {
  say(compiler.compile(fs.readFileSync(0, 'utf8'))); // every source is in the input: nothing is looked up
} else {
  process.stderr.write('only --version and --standard-json\n');
  process.exitCode = 1;
}
