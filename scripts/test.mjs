/**
 * The gate, `npm test`: installs, builds, checks types, lint, import rules and links, and runs the tests. Ends with the closing line
 * `N passed, N failed` and exit status 0 if nothing failed.
 *
 *   npm test                  everything but the soak tests
 *   npm test -- --all         everything: `*.soak.test.ts` as well, which boot many guests, and do again at length what others do briefly
 *   npm test -- --quick       without the slow tests, `*.slow.test.ts`: those that boot guests, install packages or take long
 *   npm test -- src/devices   only tests whose path contains this; anything else that Vitest takes works too
 *
 * On CI (CI=true) the quick tests of the rooms nearest to Node run on Node 24 as well.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from './build.mjs'
import { fetchNode24 } from './lib/node-24.mjs'
import { ROOT, run, tool } from './lib/run.mjs'
import { closingLine, oneCheck, total, vitestTally } from './lib/summary.mjs'

const SLOW_TESTS = '**/*.slow.test.*'
const SOAK_TESTS = '**/*.soak.test.*'

/** What differs from one Node to the next: threads, sockets, files, and V8's WebAssembly. */
const NEAR_NODE = ['src/api', 'src/cli', 'src/host', 'src/vmm', 'test/differential']

/** The tools colour their output on CI as well, where it is kept as text. */
const ENVIRONMENT = process.stdout.isTTY ? process.env : { ...process.env, NO_COLOR: '1', FORCE_COLOR: undefined }

/** Runs a command that speaks only when something is wrong. */
async function quietCheck(name, command) {
  const { status, output } = await run(command, { quiet: true, env: ENVIRONMENT })
  if (status !== 0) process.stdout.write(output)
  console.log(`${name}: ${status === 0 ? 'passed' : 'failed'}`)
  return oneCheck(status === 0)
}

async function vitest(node, args) {
  const folder = mkdtempSync(join(tmpdir(), 'tenon-test-'))
  const reportFile = join(folder, 'report.json')
  const [, script] = tool('vitest')
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${reportFile}`]
  const { status } = await run([node, script, 'run', ...reporters, ...args], { env: ENVIRONMENT })
  const report = readReport(reportFile)
  rmSync(folder, { recursive: true })
  return vitestTally(report, status)
}

function readReport(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    return undefined
  }
}

function staticChecks() {
  const tsc = tool('typescript', 'tsc')
  return [
    ['types', [...tsc, '-p', 'tsconfig.json']],
    ['types without Node and DOM', [...tsc, '-p', 'tsconfig.core.json']],
    ['lint', [...tool('oxlint'), '--deny-warnings', '--format=unix']],
    ['import rules', [process.execPath, join(ROOT, 'scripts', 'check-imports.mjs')]],
    ['links in the documents', [process.execPath, join(ROOT, 'scripts', 'check-links.mjs')]],
  ]
}

async function onNode24() {
  if (process.versions.node.startsWith('24.')) return []
  const node = await fetchNode24()
  if (node === undefined) {
    console.log('tests on Node 24: skipped, npm cannot install the package node@24 here')
    return [{ passed: 0, failed: 0, skipped: 1 }]
  }
  console.log('tests on Node 24: the quick ones of the rooms nearest to Node')
  return [await vitest(node, ['--exclude', SLOW_TESTS, '--exclude', SOAK_TESTS, ...NEAR_NODE])]
}

async function gate(args) {
  const isQuick = args.includes('--quick')
  const left = [...isQuick ? [SLOW_TESTS] : [], ...isQuick || !args.includes('--all') ? [SOAK_TESTS] : []]
  const others = args.filter(arg => arg !== '--quick' && arg !== '--all')
  const tallies = [oneCheck(await build())]
  if (total(tallies).failed > 0) return tallies
  for (const [name, command] of staticChecks()) tallies.push(await quietCheck(name, command))
  tallies.push(await vitest(process.execPath, [...left.flatMap(pattern => ['--exclude', pattern]), ...others]))
  if (process.env.CI && args.length === 0) tallies.push(...await onNode24())
  return tallies
}

const tally = total(await gate(process.argv.slice(2)))
console.log(closingLine(tally))
process.exitCode = tally.failed > 0 ? 1 : 0
