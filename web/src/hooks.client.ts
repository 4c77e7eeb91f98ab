import type { HandleClientError } from '@sveltejs/kit';

/** A page that is not there is no error of the dashboard: the page says so, the console need not. */
export const handleError: HandleClientError = ({ error, status, message }) => {
	if (status !== 404) console.error(error);
	return { message };
};
