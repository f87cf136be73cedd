/** Checks what the rooms of `src/` import of each other; the rules are in lib/import-rules.mjs. Exit status 1 if one is broken. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { listFiles } from './lib/files.mjs'
import { checkImports } from './lib/import-rules.mjs'
import { ROOT } from './lib/run.mjs'

const source = join(ROOT, 'src')
const paths = listFiles(source).filter(path => path.endsWith('.ts'))
const files = new Map(paths.map(path => [path, readFileSync(join(source, path), 'utf8')]))
const { name, dependencies, optionalDependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
const broken = checkImports(files, new Set([name, ...Object.keys({ ...dependencies, ...optionalDependencies })]))
broken.forEach(line => console.error(line))
if (files.size === 0 || broken.length > 0) process.exitCode = 1
