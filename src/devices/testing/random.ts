export { Random } from '../../base/testing/random.ts'
