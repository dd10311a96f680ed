#!/usr/bin/env node
// Prints as a line of JSON on what a device cell with this environment would run (`name`), and why (`reason`): for who starts one, and chooses device graphs for it.
// A process of its own, which leaves nothing on the device. Exit code 1 and a sentence where the device cannot be had.
import { readSettings } from '@onepass/config';
import { EXIT_CODES, OnepassError } from '@onepass/errors';
import { findDevice } from '@onepass/inference';
import { deviceCellSettings } from './settings.js';

const { executionProvider, onnxruntimeDir } = deviceCellSettings;

try {
  const settings = readSettings({ executionProvider, onnxruntimeDir }, process.env);
  const device = findDevice({ device: settings.executionProvider, libraryDirectory: settings.onnxruntimeDir });
  process.stdout.write(`${JSON.stringify(device)}\n`);
} catch (error) {
  process.stderr.write(`onepass device-cell: ${OnepassError.from(error).message}\n`);
  process.exitCode = EXIT_CODES.failed;
}
