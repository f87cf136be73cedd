#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { startMachine } from '../host/machine/start.ts'
import { runProgram } from './run-program.ts'

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
await runProgram(process.argv.slice(2), version, startMachine)
