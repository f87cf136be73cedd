import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { loadEngine } from './engine-file.ts'

const folder = mkdtempSync(join(tmpdir(), 'tenon-engine-'))
afterAll(() => rmSync(folder, { recursive: true }))

test.each([['absent', undefined, 'ENOENT'], ['damaged', 'no WebAssembly', 'magic']])('an %s engine', (name, content, why) => {
  const path = join(folder, name)
  if (content !== undefined) writeFileSync(path, content)
  const message = expect.stringMatching(new RegExp(`${name}, the built engine, cannot be loaded .*${why}.*npm run build`))
  expect(() => loadEngine(pathToFileURL(path))).toThrow(expect.objectContaining({ code: 'ENGINE_MISSING', message }))
})
