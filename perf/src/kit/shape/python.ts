export { ensurePythonOf, type PythonFolder } from '@onepass/local';
