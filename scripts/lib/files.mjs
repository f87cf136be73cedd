import { readdirSync } from 'node:fs'
import { join } from 'node:path'

/** Every file below a folder, relative to it, with forward slashes, in a fixed order. A folder that is not there has none. */
export function listFiles(folder, prefix = '') {
  return readFolder(folder).flatMap(entry => entry.isDirectory()
    ? listFiles(join(folder, entry.name), `${prefix}${entry.name}/`)
    : [`${prefix}${entry.name}`])
}

function readFolder(folder) {
  try {
    return readdirSync(folder, { withFileTypes: true }).sort((a, b) => a.name < b.name ? -1 : 1)
  } catch (error) {
    if (error.code === 'ENOENT') return []
    throw error
  }
}
