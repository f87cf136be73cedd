/** Checks that what the project's pages link to, or name by its path, is there; see lib/links.mjs. Exit status 1 if something is not. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { listFiles } from './lib/files.mjs'
import { brokenLinks } from './lib/links.mjs'
import { ROOT } from './lib/run.mjs'

const FOLDERS = ['docs', 'scripts', 'src', 'test', 'tools']

const isPage = path => path.endsWith('.md')
const paths = [...readdirSync(ROOT), ...FOLDERS.flatMap(folder => listFiles(join(ROOT, folder), `${folder}/`))].filter(isPage)
const pages = new Map(paths.map(path => [path, readFileSync(join(ROOT, path), 'utf8')]))
const broken = brokenLinks(pages, path => existsSync(join(ROOT, path)))
broken.forEach(line => console.error(line))
if (pages.size === 0 || broken.length > 0) process.exitCode = 1
