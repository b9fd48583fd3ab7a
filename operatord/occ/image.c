/* image: `occ image`: the recipe that makes sandbox images is a script of its own; this finds and runs it. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libocu/cleanup.h"
#include "libocu/err.h"
#include "libocu/json.h"
#include "operatord/occ/command.h"
#include "operatord/occ/deployment.h"
#include "operatord/occ/show.h"

#define IMAGE_JSON_MAX (1 << 20)
#define IMAGE_DIR      "/var/cache/ocu/images"

/* Installed beside this program, or in the source tree it was built in. */
static int find_recipe(char *out, size_t size)
{
	static const char *const places[] = {"../share/ocu/images/build-sandbox-image",
	                                     "../../deploy/images/build-sandbox-image"};
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	char *slash;

	if (n <= 0)
		return -1;
	exe[n] = '\0';
	slash = strrchr(exe, '/');
	if (!slash)
		return -1;
	*slash = '\0';
	for (size_t i = 0; i < sizeof places / sizeof *places; i++)
		if (snprintf(out, size, "%s/%s", exe, places[i]) < (int)size && access(out, X_OK) == 0)
			return 0;
	return -1;
}

/* Images can be made before there is a deployment. */
static int image_dir(const struct args *a, char *out, size_t size)
{
	DEPLOYMENT d = {0};
	struct ocu_error err = {0};
	const char *dir = a->dir;

	if (!dir)
		dir = deployment_load(&d, a->deployment, &err) == 0 ? d.image_dir : IMAGE_DIR;
	return snprintf(out, size, "%s", dir) < (int)size ? 0 : -1;
}

int run_image_build(const struct args *a)
{
	char recipe[PATH_MAX], dir[PATH_MAX];
	const char *argv[8];
	size_t n = 0;

	if (find_recipe(recipe, sizeof recipe) || image_dir(a, dir, sizeof dir)) {
		fputs("occ: image build: build-sandbox-image is not installed beside occ\n", stderr);
		return OCC_FAILED;
	}
	argv[n++] = recipe;
	if (a->minimal)
		argv[n++] = "--minimal";
	if (a->force)
		argv[n++] = "--force";
	if (a->name) {
		argv[n++] = "--name";
		argv[n++] = a->name;
	}
	argv[n++] = dir;
	argv[n] = NULL;
	execv(recipe, (char *const *)argv);
	fprintf(stderr, "occ: image build: %s: %s\n", recipe, strerror(errno));
	return OCC_FAILED;
}

static const struct column columns[] = {
    {"IMAGE", "name"}, {"CREATED", "created"}, {"PACKAGES", "packages"}, {"DIGEST", "digest"}, {0}};

static void add_image(json_t *rows, const char *dir, const char *name)
{
	OCU_JSON json_t *image = NULL;
	char path[PATH_MAX];

	if (name[0] == '.' ||
	    snprintf(path, sizeof path, "%s/%s/image.json", dir, name) >= (int)sizeof path ||
	    ocu_json_load_file(path, IMAGE_JSON_MAX, &image, NULL))
		return;
	json_array_append_new(
	    rows, json_pack("{ss ss ss sI}", "name", name, "created", ocu_json_str(image, "created", ""),
	                    "digest", ocu_json_str(image, "digest", ""), "packages",
	                    (json_int_t)json_object_size(json_object_get(image, "packages"))));
}

int run_image_list(const struct args *a)
{
	OCU_JSON json_t *rows = json_array();
	char dir[PATH_MAX];
	DIR *d;

	if (image_dir(a, dir, sizeof dir))
		return OCC_FAILED;
	d = opendir(dir);
	for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d))
		add_image(rows, dir, e->d_name);
	if (d)
		closedir(d);
	if (a->json) {
		json_t *out = json_pack("{ss sO}", "dir", dir, "images", rows);
		show_json(out);
		json_decref(out);
	} else {
		show_table(columns, rows);
	}
	return OCC_OK;
}
