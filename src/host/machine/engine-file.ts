import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { hostError } from '../errors.ts'

/** Where the build puts the engine: at the top of the compiled program. */
const ENGINE_FILE = new URL('../../engine.wasm', import.meta.url)

/** Loads the built interpreter. Throws TenonError ENGINE_MISSING. */
export function loadEngine(file: URL = ENGINE_FILE): WebAssembly.Module {
  try {
    return new WebAssembly.Module(readFileSync(file))
  } catch (error) {
    throw hostError('ENGINE_MISSING', `${fileURLToPath(file)}, the built engine, cannot be loaded (${describe(error)}): install tenon anew, `
      + 'or run npm run build in a clone of it', error)
  }
}

function describe(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  return code ?? message
}
