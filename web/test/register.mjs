// Lets node's own test runner load the TypeScript of src/lib: types are taken
// off, and "$lib/x" and extensionless imports are found as the bundler does.
import { register } from 'node:module';

register('./typescript.mjs', import.meta.url);
