import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { layoutMachine } from '../layout.ts'
import { acpiTables } from './acpi.ts'

// Intel's compiler reads our tables back: what it disassembles must compile again without a word, to the same table.
const iasl = process.env.TENON_IASL ?? 'iasl'
const installed = spawnSync(iasl, ['-v']).status === 0
if (!installed) console.log('skipped: the check of ACPI tables by iasl (Debian: acpica-tools; or set TENON_IASL)')

const HEADER_SIZE = 36

describe.skipIf(!installed)('iasl reads', () => {
  let folder: string
  beforeAll(() => { folder = mkdtempSync(join(tmpdir(), 'tenon-iasl-')) })
  afterAll(() => rmSync(folder, { recursive: true }))

  function roundTrip(name: string, bytes: Uint8Array): { output: string, recompiled: Uint8Array } {
    writeFileSync(join(folder, `${name}.aml`), bytes)
    const run = (...options: string[]) =>
      execFileSync(iasl, options, { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
    const disassembly = run('-d', `${name}.aml`)
    const compilation = run('-oa', '-p', `${name}-again`, `${name}.dsl`)
    return { output: disassembly + compilation, recompiled: readFileSync(join(folder, `${name}-again.aml`)) }
  }

  const tables = acpiTables(layoutMachine({ memory: 4 * 1024 ** 3, vcpus: 300 }))
  for (const { bytes } of tables.slice(1)) {
    const name = String.fromCharCode(...bytes.subarray(0, 4))
    if (name === 'FACS' || name === 'XSDT') continue // not made of source
    it(name, () => {
      const { output, recompiled } = roundTrip(name, bytes)
      expect(output).toContain('Compilation successful. 0 Errors, 0 Warnings, 0 Remarks')
      expect(recompiled.subarray(HEADER_SIZE)).toEqual(Buffer.from(bytes.subarray(HEADER_SIZE)))
    })
  }
})
